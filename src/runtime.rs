//! Threads and loops: workers with their sockets and cores, the control plane, reload, drain.
