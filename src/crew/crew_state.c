#include "crew_state.h"

uint32_t crew_n_at(const struct crew *crew, enum crew_at state)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < crew->options.workers; i++)
        n += crew->slots[i].state == state;
    return n;
}

uint32_t crew_n_ready(const struct crew *crew)
{
    return crew_n_at(crew, AT_IDLE) + crew_n_at(crew, AT_BUSY);
}

uint32_t crew_n_alive(const struct crew *crew)
{
    return crew->options.workers - crew_n_at(crew, AT_VACANT) - crew_n_at(crew, AT_LOST);
}

bool crew_is_awaited(const struct crew *crew)
{
    return crew->ledger.accepted > crew->ledger.returned || !crew->was_ready;
}
