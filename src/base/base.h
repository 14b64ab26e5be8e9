/* base: what every room uses.
 *
 * Nothing here knows what an embedding is. No mutable globals. alloc.c alone calls malloc. The door
 * includes small headers of one purpose each; other rooms include only this file. */
#ifndef BASE_H
#define BASE_H

#include "alloc.h"
#include "arena.h"
#include "buf.h"
#include "cache.h"
#include "child.h"
#include "clock.h"
#include "cur.h"
#include "err.h"
#include "fence.h"
#include "io.h"
#include "json.h"
#include "near.h"
#include "num.h"
#include "pack.h"
#include "quantize.h"
#include "stray.h"
#include "team.h"
#include "utf8.h"

#endif
