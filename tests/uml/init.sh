#!/bin/bash
# init.sh: PID 1 of a guest of uml_kit.py. The root is the host's, read-only; of the host only $out, which
# the kernel's command line names, can be written. Runs $out/scenes.sh once for each scene that
# $out/settings.sh lists, each within its seconds, and powers off; the whole within guest_seconds.
# A scene finds its own folder, $out/NAME, as the working folder, and leaves its results there; its exit
# status is written to NAME/status. Whatever it has left in its memory groups is killed behind it.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs tmpfs /run
mount -t hostfs -o "$out" none "$out" && : >"$out/alive"
exec >"$out/log" 2>&1 </dev/null
trap 'exec "$out/poweroff"' EXIT
mount -t cgroup2 cgroup2 /sys/fs/cgroup
. "$out/settings.sh"
export out TMPDIR=/run groups=/sys/fs/cgroup
echo '+memory +cpu' >$groups/cgroup.subtree_control

# The guest's own deadline. The trap runs in this shell alone, as soon as what it waits for is gone.
(sleep "$guest_seconds"; echo "the guest is too late"; kill -TERM 1; echo 1 >$groups/scene/cgroup.kill) &
late=''
trap late=1 TERM

for scene in $scenes; do
    [ -z "$late" ] || break
    mkdir -p "$out/$scene" "$groups/scene"
    echo '+memory +cpu' >$groups/scene/cgroup.subtree_control
    read -r from _ </proc/uptime
    (cd "$out/$scene" && exec timeout -k 2 "$scene_seconds" bash "$out/scenes.sh" "$scene" >log 2>&1) &
    while kill -0 $! 2>/dev/null && [ -z "$late" ]; do wait $!; status=$?; done
    [ -z "$late" ] || status=late
    for _ in {1..100}; do
        echo 1 >$groups/scene/cgroup.kill
        grep -q 'populated 0' $groups/scene/cgroup.events && break
        sleep 0.02
    done
    # Deepest first: a group goes once it has none below.
    find $groups/scene -depth -type d -exec rmdir {} \;
    read -r to _ </proc/uptime
    echo "$from $to" >"$out/$scene/times"
    echo "$status" >"$out/$scene/status"
done
echo finished >"$out/finished"
