/* poweroff: ends the machine it runs on, and so is only for PID 1 of a guest. Refuses elsewhere: on
 * the host it is not PID 1. Linked statically where possible, so that it still runs when the
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
