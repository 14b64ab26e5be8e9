# shellcheck shell=bash disable=SC2154,SC2030,SC2031 # $logs and $left_out are the caller's; lanes count for themselves
# steps.sh: steps that count as tests, and lanes of steps that run at once. Sourced by `check`, which runs in the
# checkout's root.
#
# Wants $logs, a folder for the steps' output, where STEP.times is what the shell's `times` said after each, and $left_out,
# the names of steps that are not to run, each between spaces. Counts into $passed and $failed. What it started is ended
# with it.

passed=0 failed=0 child='' lanes='' started=$SECONDS

stop_children()
{
    local pid
    for pid in $child $lanes; do
        kill -TERM -- "-${pid#*:}" 2>/dev/null
        wait "${pid#*:}" 2>/dev/null
    done
    child='' lanes=''
}

stop_with_us()
{
    trap 'stop_children; exit 130' INT
    trap 'stop_children; exit 143' TERM HUP
    trap stop_children EXIT
    set -m # each step and each lane is a process group of its own, so that all of it can be ended
}
stop_with_us

finish()
{
    echo "== $((SECONDS - started)) seconds"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

# lane NAME FUNCTION [WORD...]: runs it while the caller goes on, with counts of its own, which join adds to ours.
lane()
{
    local name=$1
    shift
    rm -f "$logs/lane-$name"
    (
        passed=0 failed=0 child='' lanes=''
        stop_with_us
        "$@"
        echo "$passed $failed" >"$logs/lane-$name"
    ) &
    lanes+=" $name:$!"
}

# join [NAME]: waits for a lane, or for all. One that did not come to its end is a failure.
join()
{
    local each name p f left=''
    for each in $lanes; do
        name=${each%%:*}
        if [ $# -gt 0 ] && [ "$name" != "$1" ]; then
            left+=" $each"
            continue
        fi
        wait "${each#*:}"
        if ! read -r p f 2>/dev/null <"$logs/lane-$name"; then
            echo "-- the steps of $name did not come to their end"
            p=0 f=1
        fi
        passed=$((passed + p)) failed=$((failed + f))
    done
    lanes=$left
}

# run NAME COMMAND...: runs it with its output in $logs/NAME.log; returns its status.
run()
{
    local name=$1 status
    shift
    (
        "$@"
        status=$?
        times >"$logs/$name.times"
        exit $status
    ) >"$logs/$name.log" 2>&1 </dev/null &
    child=$!
    wait "$child"
    status=$?
    child=''
    return $status
}

# wanted NAME: whether that step is to run.
wanted()
{
    case "$left_out" in *" $1 "*) return 1 ;; esac
}

# failure NAME STATUS: what is said of a step that failed, in one piece, since other lanes print too.
failure()
{
    printf '%s\n' "-- $1 failed (status $2); the end of what it said, all of it in $logs/$1.log:
$(tail -n 60 "$logs/$1.log" | sed 's/^/   | /')"
}

# step NAME COMMAND...: a run that counts as one test; 77 is a skip, whose reason is the last line. Nothing is run, and 0
# returned, where the step is not wanted.
step()
{
    local name=$1 status from=$SECONDS
    wanted "$name" || return 0
    echo "== $name"
    run "$@"
    status=$?
    if [ $status -eq 77 ]; then
        echo "-- $name skipped: $(tail -n 1 "$logs/$name.log")"
    elif [ $status -eq 0 ]; then
        passed=$((passed + 1))
        echo "-- $name passed, $((SECONDS - from)) s: $(tail -n 1 "$logs/$name.log")"
    else
        failed=$((failed + 1))
        failure "$name" $status
    fi
    return $status
}

# tests_of NAME COMMAND...: a step whose last line is `NAME: N passed, N failed`; each of its tests counts.
tests_of()
{
    local name=$1 said from=$SECONDS
    wanted "$name" || return 0
    shift
    echo "== $name"
    run "$name" "$@"
    local status=$?
    grep -E '^(skipped|left to --long): ' "$logs/$name.log" | sed "s/^/-- $name /"
    said=$(grep -oE '[0-9]+ passed, [0-9]+ failed$' "$logs/$name.log" | tail -n 1)
    if [ $status -eq 0 ] && [ -n "$said" ]; then
        passed=$((passed + ${said%% *}))
        echo "-- $name: $said, $((SECONDS - from)) s"
        return 0
    fi
    said=${said:-0 passed, 1 failed}
    passed=$((passed + ${said%% *}))
    said=${said#*passed, }
    failed=$((failed + ${said%% *}))
    [ "${said%% *}" -gt 0 ] || failed=$((failed + 1)) # it ended badly after good counts
    failure "$name" $status
    return 1
}
