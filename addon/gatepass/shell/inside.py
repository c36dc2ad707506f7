"""What `gatepass run --isolate` starts inside: opens the proxy's door in there, hands it out, and starts the command.

A program of its own, run by its path and without `site`: it imports nothing of Gatepass, and of the standard library
only what is built into Python, or nearly so, because each start waits for it. It is the first process of its process
namespace: all end with it, what has lost its parent becomes its child, and no signal of theirs can end it.

Arguments: the number of a socket, that of the command's standard error, a port, `group` for a process group that nobody
outside is in or nothing, the signals that the command blocks, and the command. On the socket it tells `door` with the
door's descriptor, then `failed ERRNO` or `ended STATUS`, as `wait` has it; each byte that comes is a signal for the
command.
"""

from __future__ import annotations

import _socket
import posix
import sys
from _thread import start_new_thread

QUEUE = 1024
"""How many connections may wait for the proxy; more come again a second later."""


def main(arguments: list[str]) -> None:
    """Run the command to its end."""
    control, stderr, port = _socket.socket(fileno=int(arguments[0])), int(arguments[1]), int(arguments[2])
    group, blocked, *command = arguments[3:]
    door = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
    door.bind(("127.0.0.1", port))
    door.listen(QUEUE)
    rights = door.fileno().to_bytes(4, sys.byteorder)
    control.sendmsg([b"door"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rights)])
    door.close()
    if group:
        posix.setpgid(0, 0)
    try:
        child = posix.posix_spawnp(
            command[0],
            command,
            posix.environ,
            file_actions=[
                (posix.POSIX_SPAWN_DUP2, stderr, 2),
                (posix.POSIX_SPAWN_CLOSE, stderr),
                (posix.POSIX_SPAWN_CLOSE, control.fileno()),
            ],
            setsigmask=[int(number) for number in blocked.split(",") if number],
            # those that Python itself ignores: SIGPIPE and SIGXFSZ
            setsigdef=[13, 25],
        )
    except OSError as error:
        control.send(b"failed %d" % (error.errno or 0))
        return
    start_new_thread(pass_on, (control, child))
    while True:
        pid, status = posix.waitpid(-1, 0)
        if pid == child:
            control.send(b"ended %d" % status)
            return


def pass_on(control: _socket.socket, child: int) -> None:
    """Send the command what signals are told of."""
    while told := control.recv(1):
        try:
            posix.kill(child, told[0])
        except OSError:
            return  # it has ended


if __name__ == "__main__":
    main(sys.argv[1:])
    posix._exit(0)  # there is nothing to take apart
