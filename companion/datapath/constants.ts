// Specification: numbers of the Linux system call interface (include/uapi; the same on x86-64, arm64 and riscv64).

export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;

export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;

export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_ERROR = 4;
export const SO_SNDBUF = 7;
export const SO_RCVBUF = 8;
export const SO_LINGER = 13;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;

export const IPPROTO_IP = 0;
export const IP_MTU_DISCOVER = 10;
/** Never set DF, never report EMSGSIZE because of a path MTU: the kernel fragments. ip(7). */
export const IP_PMTUDISC_DONT = 0;
export const IPPROTO_TCP = 6;
export const TCP_NODELAY = 1;
export const IPPROTO_UDP = 17;
/** udp(7): size of the segments into which the kernel cuts one sendmsg. */
export const UDP_SEGMENT = 103;
/** udp(7): deliver several datagrams of one flow as one, with their size in a control message. */
export const UDP_GRO = 104;
export const IPPROTO_IPV6 = 41;
export const IPV6_MTU_DISCOVER = 23;
export const IPV6_V6ONLY = 26;

export const MSG_PEEK = 0x2;
export const MSG_TRUNC = 0x20;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

export const SHUT_RD = 0;
export const SHUT_WR = 1;
export const SHUT_RDWR = 2;

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;
export const EPOLLRDHUP = 0x2000;
/** Bit 31: write it as a positive number, it goes into a u32. */
export const EPOLLET = 0x8000_0000;

export const EPOLL_CTL_ADD = 1;
export const EPOLL_CTL_DEL = 2;
export const EPOLL_CTL_MOD = 3;
export const EPOLL_CLOEXEC = 0o2000000;

export const EFD_NONBLOCK = 0o4000;
export const EFD_CLOEXEC = 0o2000000;

export const F_GETFL = 3;
export const F_SETFL = 4;
export const O_NONBLOCK = 0o4000;
export const FIONREAD = 0x541b;

/** sizeof(struct msghdr), sizeof(struct mmsghdr), sizeof(struct iovec) of a 64-bit kernel. */
export const MSGHDR_BYTES = 56;
export const MMSGHDR_BYTES = 64;
export const IOVEC_BYTES = 16;
/** sizeof(struct cmsghdr) of a 64-bit kernel; the data follow at once. */
export const CMSGHDR_BYTES = 16;

/** struct epoll_event is packed on x86-64 alone (`EPOLL_PACKED`). */
export const EPOLL_EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
export const EPOLL_DATA_OFFSET = process.arch === 'x64' ? 4 : 8;

export const SOCKADDR_IN_BYTES = 16;
export const SOCKADDR_IN6_BYTES = 28;
/** struct sockaddr_un: 2 bytes of family, 108 of path with its closing zero. */
export const SOCKADDR_UN_BYTES = 110;
export const UNIX_PATH_MAX_BYTES = 107;
