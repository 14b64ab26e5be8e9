/* crew_echo: what the worker of crew's tests computes, and how an item tells it to misbehave. Shared by
 * the worker program (crew_dummy.c) and those who check what it did. */
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
 * The worker does it the first `times` times (0: always), counted by files MARKS/name.0, name.1, ...; from
 * then on the item is echoed like any other.
 *
 *     in the midst of its computation:
 *     sleep MS, spin MS    (then the item is echoed)
 *     kill SIGNAL          sends it to itself
 *     segv bus ill fpe     faults of the processor
 *     abort, exit CODE, stop, loop, hang (sleeps for ever)
 *     close                closes its socket and lives on
 *     buffer N             exits unless its socket's SO_SNDBUF is N
 *     refuse GOOD          refuses to work (GOOD 1: for good), and exits
 *     fail                 its computation fails
 *     in place of the result it has computed:
 *     garbage N            N bytes of no meaning, then it sleeps
 *     half N               N bytes of it (negative: all but so many), then SIGKILL
 *     halt N               N bytes of it, then it sleeps
 *     batch, generation, items, size, hash, kind BY   it, with this field of the head changed by BY
 *     payload N            it, with byte N of the payload changed
 *     two                  it, twice
 *     hello                a second hello, then it
 *     flood                bytes without end
 *     drip MS              it, in 16 pieces, MS apart
 *     behind the result:
 *     done SIGNAL          sends itself SIGNAL
 *     mark                 makes the file MARKS/name.done, and goes on */
#define ECHO_COMMAND_MOST 128u

struct echo_command {
    char word[16];
    long argument;
    char name[32];
    unsigned times;
};

/* The result of an item: its hash and its size, over and over, so that results that were mixed up, cut
 * or shifted are seen. */
static inline void echo_result(const void *data, size_t bytes, unsigned char *result,
                               size_t result_bytes)
{
    const uint64_t words[2] = {XXH3_64bits(data, bytes), bytes};
    unsigned char whole[sizeof words];
    memcpy(whole, words, sizeof words);
    for (size_t i = 0; i < result_bytes; i++)
        result[i] = (unsigned char)(whole[i % sizeof whole] + i / sizeof whole);
}

#endif
