/* poweroff: ends the machine it runs on, and so is for PID 1 of a guest only. Refuses elsewhere: on the
 * host somebody else is PID 1. Linked statically where that can be, so that it still runs when the
 * guest's memory is gone. */
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

int main(void)
{
    if (getpid() != 1) {
        fputs("poweroff: this is not PID 1\n", stderr);
        return 2;
    }
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
