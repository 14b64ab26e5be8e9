/* crew_echo: what the worker of crew's tests computes, and how an item makes it misbehave. Shared
 * by the worker program (crew_dummy.c) and the tests. */
#ifndef CREW_ECHO_H
#define CREW_ECHO_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/* An item that begins with '!' is a command:
 *
 *     !word argument name times\n
 *
 * The worker obeys it the first `times` times (0: always), counted by files MARKS/name.0, name.1,
 * ... After that the item is echoed like any other.
 *
 *     during its computation:
 *     sleep MS, spin MS    (then the item is echoed)
 *     kill SIGNAL          sends it to itself
 *     segv bus ill fpe     faults of the processor
 *     abort, exit CODE, stop, loop, hang (sleeps without end)
 *     close                closes its socket and lives on
 *     buffer N             exits unless its socket's SO_SNDBUF is N
 *     refuse GOOD          refuses to work (GOOD 1: for good), and exits
 *     fail                 its computation fails
 *     instead of the result:
 *     garbage N            N meaningless bytes, then it sleeps
 *     half N               N bytes of it (negative: all but N), then SIGKILL
 *     halt N               N bytes of it, then it sleeps
 *     batch, generation, items, size, hash, kind BY   it, with this field of the head changed by BY
 *     payload N            it, with byte N of the payload changed
 *     two                  it, twice
 *     hello                a second hello, then it
 *     flood                bytes without end
 *     drip MS              it, in 16 pieces, MS apart
 *     after the result:
 *     done SIGNAL          sends itself SIGNAL
 *     mark                 makes the file MARKS/name.done, and goes on */
#define ECHO_COMMAND_MOST 128u

struct echo_command {
    char word[16];
    long argument;
    char name[32];
    unsigned times;
};

/* The result of an item: its hash and its size, repeated, so that results that are mixed up, cut or
 * shifted are noticed. */
static inline void echo_result(const void *data, size_t bytes, unsigned char *result,
                               size_t result_bytes)
{
    const uint64_t words[2] = {XXH3_64bits(data, bytes), bytes};
    unsigned char whole[sizeof words];
    memcpy(whole, words, sizeof words);
    for (size_t i = 0; i < result_bytes; i++)
        result[i] = (unsigned char)(whole[i % sizeof whole] + i / sizeof whole);
}

/* The size of an item's tail, of at most `most` bytes: small ones are more frequent, 0 and the most occur.
 * Its bytes are echo_result's. */
static inline size_t echo_tail_bytes(const void *data, size_t bytes, size_t most)
{
    const uint64_t hash = XXH3_64bits_withSeed(data, bytes, 1), small = most / 16;
    if (hash % 7 == 0) return 0;
    if (hash % 7 == 1) return most;
    return (hash / 7) % (1 + (hash % 7 < 5 ? small : most));
}

#endif
