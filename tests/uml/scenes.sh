#!/bin/bash
# scenes.sh SCENE: what is done to one run of embed, or to a few, in a guest that init.sh has set up. Runs as
# root of the guest, in the scene's own folder; what is to be known afterwards is left there: outputs,
# events.jsonl, stderr, and `figures`, lines of a name and a value. Judges nothing; that is uml_cgroup.py's.
#
# The job's memory group is $g, below $groups/scene. Limits are set from what the job was seen to use, so
# that they bind however much that is. What others take, eat takes: the OOM killer finds it after any worker,
# and before the supervisor.
set -u
MIB=$((1 << 20))
fail() { echo "$*" >&2; exit 1; }
tell() { echo "$1 ${*:2}" >>figures; }

# until_true SECONDS WHAT COMMAND...
until_true()
{
    local end=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ $SECONDS -lt $end ] || fail "waited in vain for $what"
        sleep 0.03
    done
}

# --- groups ---

# group NAME [FILE VALUE]...: makes it, and makes it $g.
group()
{
    g=$groups/scene/$1
    mkdir "$g" || fail "$g: cannot be made"
    shift
    while [ $# -gt 0 ]; do
        limit "$1" "$2"
        shift 2
    done
}

limit() { echo "$2" >"$g/$1" || fail "$g/$1: cannot be set to $2"; }
in_group() { ( echo $BASHPID >"$g/cgroup.procs" && exec "$@" ) }
count() { awk -v name="$2" '$1 == name { print $2 }' "$g/memory.$1"; }
struck() { [ "$(count events oom_kill)" -ge "$1" ]; }
used() { cat "$g/memory.current"; }

# eat SCORE: another process of the group takes what is left of it, until the kernel kills, and lets go of it
# after a while.
eat()
{
    ( echo "$1" >/proc/self/oom_score_adj
      in_group "$out/eat" 400 4 700 "$g/memory.events" >eaten ) &
    until_true 60 "the end of eat" gone $!
    tell eaten "$(<eaten)"
}

# What eat may take at least, in the scene that has it; its score, by which it comes after any worker (1000 and
# its share of the limit in thousandths), and before the supervisor; the share of the processor with which a
# job is slow. The real model's pack, 87 MiB, has to have its place in what is left, or all time goes into
# reading it again.
room_mib=24 eater_score=-300 slowly='10000 100000'

# --- jobs ---

embed()
{
    in_group "$vecmill" embed -m "$model" --workers 2 --batch-tokens 4096 --events events.jsonl \
        --progress none "$@" 2>>stderr
}

# The job cannot be over before the scene lets it have the rest of the documents.
start_fed()
{
    { cat "$input.first"; until_true 120 "leave to go on" test -e fed; cat "$input.rest"; } |
        embed -i - --input-format jsonl -o out.npy &
    job=$!
    until_true 60 "two workers" runs
}

has_events()
{
    local n
    n=$(grep -sc "\"event\":\"$1\"" events.jsonl)
    [ "${n:-0}" -ge "$2" ]
}
runs() { has_events run_started 1 && has_events worker_ready 2; }
gone() { ! kill -0 "$1" 2>/dev/null; }
first_worker() { grep -lx vecmill-worker /proc/[0-9]*/comm 2>/dev/null | head -n 1 | cut -d / -f 3; }
states() { for pid in $(<"$g/cgroup.procs"); do cut -d ' ' -f 2,3 "/proc/$pid/stat"; done 2>/dev/null; }

# Waits for the job, and writes down how it ended.
finish()
{
    until_true 120 "the end of the job" gone "$job"
    wait "$job"
    tell code $?
    tell peak "$(<"$g/memory.peak")"
    for name in high oom_kill oom_group_kill; do tell $name "$(count events $name)"; done
    tell left "$(wc -l <"$g/cgroup.procs")"
}

# --- scenes ---

# Builds a model's pack, without a limit: to the guest the model's files have other numbers than to the host,
# so the host's pack is none of theirs.
scene_pack()
{
    group t
    head -n 4 "$input" >some.jsonl
    embed -i some.jsonl -o out.npy --force &
    job=$!
    finish
}

scene_generous()
{
    group t memory.max $((400 * MIB))
    embed -i "$input" -o out.npy &
    job=$!
    finish
}

scene_ballast()
{
    group t memory.max $((400 * MIB))
    start_fed
    tell before "$(used)"
    tell room $((room_mib * MIB))
    limit memory.max $(($(used) + room_mib * MIB))
    eat $eater_score
    eat $eater_score
    : >fed
    finish
}

# The limit is put below what cannot be given back, and up again later.
scene_lowered()
{
    group t memory.max $((400 * MIB))
    start_fed
    sleep 0.5
    tell before "$(used)"
    tell limit $(($(count stat anon) - 2 * MIB))
    limit memory.max "$(awk '$1 == "limit" { print $2 }' figures)"
    until_true 60 "an OOM kill" struck 1
    sleep "$lowered_seconds"
    limit memory.max $((400 * MIB))
    : >fed
    finish
}

# hold_down LIMIT SECONDS [KILL]: lets memory.high bind for so long; with KILL a worker is killed at its beginning,
# so that another has to start there.
hold_down()
{
    local looks=0 held=0 victim end=$((SECONDS + $2))
    tell before "$(used)"
    tell limit "$1"
    limit memory.high "$1"
    if [ -n "${3:-}" ]; then
        sleep 1
        victim=$(first_worker)
        tell victim "$victim"
        kill -KILL "$victim"
    fi
    while [ $SECONDS -lt $end ]; do
        looks=$((looks + 1))
        ! states | grep -q 'worker) D' || held=$((held + 1))
        sleep 0.25
    done
    tell looks $looks
    tell held $held
    tell faults "$(count stat pgmajfault)"
    limit memory.high max
}

# memory.high is put below what cannot be given back: whoever takes more is made to wait.
scene_throttled()
{
    group t memory.max $((400 * MIB))
    start_fed
    sleep 0.7
    hold_down $(($(count stat anon) * 7 / 10)) "$throttled_seconds" kill
    : >fed
    finish
}

# memory.high leaves no place for the pages of files: code and weights are taken away and read again.
scene_thrashing()
{
    group t memory.max $((400 * MIB))
    start_fed
    sleep 0.7
    hold_down $(($(used) - $(count stat file) + 2 * MIB)) "$thrashing_seconds"
    : >fed
    finish
}

journal_time() { stat -c %.Y out.npy.journal 2>/dev/null || echo none; }
checkpointed() { [ "$(journal_time)" != "$made" ]; }
has_rows() { [ "$(stat -c %s out.npy.part 2>/dev/null || echo 0)" -gt 2048 ]; }

# A group that is killed as a whole; then the same command again, with --resume, in a larger one.
scene_group()
{
    group t memory.max $((400 * MIB)) memory.oom.group 1
    embed -i "$input" -o out.npy &
    job=$!
    until_true 60 "two workers" runs
    limit cpu.max "$slowly" # it is not over before the second checkpoint
    until_true 60 "rows" has_rows
    made=$(journal_time)
    until_true 60 "a checkpoint behind the first rows" checkpointed
    limit memory.max $MIB
    finish
    tell kept "$(stat -c %s out.npy.part)"
    mv events.jsonl events-killed.jsonl
    group larger memory.max $((500 * MIB)) memory.oom.group 1
    embed -i "$input" -o out.npy --resume &
    job=$!
    finish
}

# number NAME FILE: of an object in JSON.
number() { sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p" "$2"; }

# plan FILE: what the run of embed would take, into FILE.
plan()
{
    in_group "$vecmill" plan --json -m "$model" --workers 2 --batch-tokens 4096 -i "$input" -o out.npy \
        >"$1" 2>>plan-stderr
    tell plan $?
}

# An ancestor's limit, tighter than the group's own: first a little less than what the run would take, then
# just that.
scene_ancestor()
{
    local whole
    group tight
    echo +memory >"$g/cgroup.subtree_control"
    group tight/own memory.max $((400 * MIB))
    plan wide.json
    whole=$(($(number total_bytes wide.json) + $(number reserve_bytes wide.json)))
    tell whole $whole
    echo $((whole - MIB)) >"$g/../memory.max"
    tell tight "$(<"$g/../memory.max")"
    in_group env -u HF_HUB_OFFLINE "$vecmill" doctor --json >doctor.json 2>>plan-stderr
    tell doctor $?
    plan tight.json
    embed -i "$input" -o out.npy &
    job=$!
    finish
    mv events.jsonl events-refused.jsonl
    mv stderr stderr-refused
    ls >left
    echo $((whole + MIB)) >"$g/../memory.max"
    plan fits.json
    embed -i "$input" -o out.npy &
    job=$!
    finish
}

case $1 in
    pack | generous | ballast | lowered | throttled | thrashing | group | ancestor) scene_"$1" ;;
    # The same with the real model.
    real-*)
        model=$real_model input=$real_input room_mib=180 eater_score=-450 slowly='30000 100000'
        scene_"${1#real-}" ;;
    *) fail "no such scene: $1" ;;
esac
