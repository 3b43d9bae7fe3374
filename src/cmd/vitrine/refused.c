/* SPDX-License-Identifier: MIT
 *
 * What QEMU's command line has and ours has not, with what is nearest. */
#include <stddef.h>
#include <string.h>

#include "cmd/vitrine/options.h"

static const struct {
    const char *names; /* with blanks around each */
    const char *why;
} refusals[] = {
    {" -s -gdb ", "a server for gdb is not there yet; the monitor has info registers, x and log"},
    {" -qmp -qmp-pretty ", "the JSON monitor is not there yet; -monitor takes the same lines"},
    {" -vnc ", "VNC support is disabled; screendump in the monitor writes the screen to a file"},
    {" -sdl ", "SDL support is disabled; screendump in the monitor writes the screen to a file"},
    {" -curses ",
     "curses support is disabled; a guest with a serial console is shown by -nographic"},
    {" -spice ",
     "spice support is disabled; screendump in the monitor writes the screen to a file"},
    {" -full-screen -alt-grab -ctrl-grab -rotate -g -no-quit ",
     "there are no windows; screendump in the monitor writes the screen to a file"},
    {" -usbdevice ", "USB support is disabled; there are a PS/2 keyboard and mouse"},
    {" -plugin ", "plugins are not there yet; -trace watches the same events"},
    {" -pflash ", "there is no flash memory yet; -bios FILE loads firmware"},
    {" -blockdev ", "block nodes are not there yet; -drive if=none,id=ID,file=FILE,format=raw"},
    {" -hdachs -mtdblock -sd ", "there is no such drive; -drive if=ide, floppy or none"},
    {" -dtb -shim ", "that is for kernels of another kind"},
    {" -acpitable -smbios ", "tables of one's own are not there yet; -fw_cfg hands over files"},
    {" -loadvm -incoming -only-migratable -dump-vmstate ",
     "saved states are not there yet; -snapshot keeps images unchanged"},
    {" -audiodev -audio -audio-help -soundhw ", "there is no sound"},
    {" -fsdev -virtfs ", "shared folders are not there; a disk image made by mke2fs -d is near"},
    {" -tpmdev ", "there is no TPM"},
    {" -numa ", "there is one memory node"},
    {" -mem-path -mem-prealloc ", "memory comes from the host as it is used"},
    {" -watchdog -watchdog-action ", "there is no watchdog"},
    {" -xen-domid -xen-attach -xen-domid-restrict ", "Xen support is disabled"},
    {" -enable-hax -enable-hvf ", "guests are translated always"},
    {" -runas -chroot ", "start it as the user that it is to run as"},
    {" -readconfig -writeconfig -set ",
     "there are no configuration files; -global sets properties"},
    {" -add-fd ", "descriptors cannot be handed over yet"},
    {" -semihosting -semihosting-config -prom-env -old-param ",
     "that is for machines of another kind"},
    {" -win2k-hack -no-fd-bootchk -tb-size -enable-fips -icount-sleep ", "that is gone"},
    {" -compat -preconfig -async-teardown -run-with ", "that is not there yet"},
};

bool option_refused(const char *name, struct error *err)
{
    const char *bare = name + (name[0] == '-' && name[1] == '-');
    size_t length = strlen(bare);

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        for (const char *at = strstr(refusals[i].names, bare); at; at = strstr(at + 1, bare)) {
            if (at[-1] == ' ' && at[length] == ' ') {
                error_set(err, "%s: %s", name, refusals[i].why);
                return true;
            }
        }
    }
    return false;
}
