# shellcheck shell=bash disable=SC2154 # $logs is the caller's
# steps.sh: steps that count as tests, sourced by `check` and `tools/check-engines`, which run in the checkout's root.
#
# Wants $logs, a folder for the steps' output. Counts into $passed and $failed. What it started is ended with it.

passed=0 failed=0 child='' peers='' started=$SECONDS

stop_child()
{
    local pid
    for pid in $child $peers; do
        kill -TERM -- "-$pid" 2>/dev/null
        wait "$pid" 2>/dev/null
    done
    child='' peers=''
}
trap 'stop_child; exit 130' INT
trap 'stop_child; exit 143' TERM HUP
trap stop_child EXIT
set -m # each step is a process group of its own, so that all of it can be ended

finish()
{
    echo "== $((SECONDS - started)) seconds"
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
    exit
}

# run NAME COMMAND...: runs it with its output in $logs/NAME.log; returns its status.
run()
{
    local name=$1 status
    shift
    "$@" >"$logs/$name.log" 2>&1 </dev/null &
    child=$!
    wait "$child"
    status=$?
    child=''
    return $status
}

# step NAME COMMAND...: a run that counts as one test; 77 is a skip, whose reason is the last line.
step()
{
    local name=$1 status from=$SECONDS
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
        echo "-- $name failed (status $status); the end of what it said, all of it in $logs/$name.log:"
        tail -n 60 "$logs/$name.log" | sed 's/^/   | /'
    fi
    return $status
}

# tests_of NAME COMMAND...: a program whose last line is `NAME: N passed, N failed`; each of its tests counts.
tests_of()
{
    local name=$1 said from=$SECONDS
    shift
    echo "== $name"
    run "$name" "$@"
    local status=$?
    grep '^skipped: ' "$logs/$name.log" | sed "s/^/-- $name /"
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
    echo "-- $name failed (status $status); the end of what it said, all of it in $logs/$name.log:"
    tail -n 60 "$logs/$name.log" | sed 's/^/   | /'
    return 1
}
