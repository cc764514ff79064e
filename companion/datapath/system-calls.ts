import { constants as osConstants } from 'node:os';
import koffi from 'koffi';

/**
 * The C library's socket calls on numbers. An address is native (`memory.base + pointer`), a length counts bytes. Each call answers
 * what the C library would, or `-errno` (negative) in place of -1: `if (n === -EAGAIN)`. None of them throws; none blocks unless
 * the descriptor does.
 */
export interface SystemCalls {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, sockaddr: number, length: number): number;
  connect(fd: number, sockaddr: number, length: number): number;
  listen(fd: number, backlog: number): number;
  /** `sockaddr` and `length` (the address of a u32) may be 0. */
  accept4(fd: number, sockaddr: number, length: number, flags: number): number;
  setsockopt(fd: number, level: number, name: number, value: number, length: number): number;
  getsockopt(fd: number, level: number, name: number, value: number, length: number): number;
  getsockname(fd: number, sockaddr: number, length: number): number;
  getpeername(fd: number, sockaddr: number, length: number): number;
  sendmsg(fd: number, msghdr: number, flags: number): number;
  /** -> messages sent, at least one, or -errno of the first. */
  sendmmsg(fd: number, mmsghdrs: number, count: number, flags: number): number;
  recvmsg(fd: number, msghdr: number, flags: number): number;
  /** -> messages received. Set each `msg_controllen` and `msg_namelen` to its capacity before every call. */
  recvmmsg(fd: number, mmsghdrs: number, count: number, flags: number): number;
  readv(fd: number, iovecs: number, count: number): number;
  writev(fd: number, iovecs: number, count: number): number;
  read(fd: number, buffer: number, length: number): number;
  write(fd: number, buffer: number, length: number): number;
  recv(fd: number, buffer: number, length: number, flags: number): number;
  send(fd: number, buffer: number, length: number, flags: number): number;
  recvfrom(fd: number, buffer: number, length: number, flags: number, sockaddr: number, addressLength: number): number;
  sendto(fd: number, buffer: number, length: number, flags: number, sockaddr: number, addressLength: number): number;
  shutdown(fd: number, how: number): number;
  close(fd: number): number;
  ioctl(fd: number, request: number, argument: number): number;
  fcntl(fd: number, command: number, argument: number): number;
  epollCreate(flags: number): number;
  epollControl(epoll: number, operation: number, fd: number, event: number): number;
  /** `timeout` in ms, -1 without end. */
  epollWait(epoll: number, events: number, capacity: number, timeout: number): number;
  eventfd(initial: number, flags: number): number;
  /** `path` is the address of a C string. */
  unlink(path: number): number;
  chmod(path: number, mode: number): number;
}

/** Native address of byte 0 of `bytes`. Stays right for as long as its buffer lives: V8 does not move a buffer's store. */
export function nativeAddress(bytes: Uint8Array): number {
  return Number(koffi.address(bytes));
}

/** `ECONNREFUSED` for 111 or -111; the number as text where the system has no name for it. */
export function errnoName(errno: number): string {
  const wanted = Math.abs(errno);
  for (const [name, value] of Object.entries(osConstants.errno))
    if (value === wanted && name !== 'EWOULDBLOCK') return name;
  return `errno ${wanted}`;
}

let loaded: SystemCalls | undefined;

/**
 * The C library that this process runs on. Throws Error where it is no Linux of 64 bits: every structure in `constants.ts` is laid
 * out for that.
 */
export function systemCalls(): SystemCalls {
  loaded ??= load();
  return loaded;
}

function load(): SystemCalls {
  if (process.platform !== 'linux' || !['x64', 'arm64', 'riscv64'].includes(process.arch))
    throw new Error(`the data path needs Linux on x64, arm64 or riscv64, not ${process.platform} on ${process.arch}`);
  const library = koffi.load(null);
  const errno = koffi.errno as () => number;

  // An address as `uintptr` takes a plain number through koffi in 33-47 ns, a Buffer or BigInt takes twice that. Results of type
  // ssize_t are read as int: no call here moves 2 GiB.
  const A = 'uintptr';
  const I = 'int';
  const N = 'size_t';
  const bind = (name: string, parameters: string[]): ((...values: number[]) => number) =>
    library.func(name, I, parameters);

  const one = (name: string, p: string): ((a: number) => number) => {
    const call = bind(name, [p]);
    return a => {
      const result = call(a);
      return result < 0 ? -errno() : result;
    };
  };
  const two = (name: string, ...p: string[]): ((a: number, b: number) => number) => {
    const call = bind(name, p);
    return (a, b) => {
      const result = call(a, b);
      return result < 0 ? -errno() : result;
    };
  };
  const three = (name: string, ...p: string[]): ((a: number, b: number, c: number) => number) => {
    const call = bind(name, p);
    return (a, b, c) => {
      const result = call(a, b, c);
      return result < 0 ? -errno() : result;
    };
  };
  const four = (name: string, ...p: string[]): ((a: number, b: number, c: number, d: number) => number) => {
    const call = bind(name, p);
    return (a, b, c, d) => {
      const result = call(a, b, c, d);
      return result < 0 ? -errno() : result;
    };
  };
  const five = (name: string, ...p: string[]): ((a: number, b: number, c: number, d: number, e: number) => number) => {
    const call = bind(name, p);
    return (a, b, c, d, e) => {
      const result = call(a, b, c, d, e);
      return result < 0 ? -errno() : result;
    };
  };
  const six = (name: string, ...p: string[]): SystemCalls['recvfrom'] => {
    const call = bind(name, p);
    return (a, b, c, d, e, f) => {
      const result = call(a, b, c, d, e, f);
      return result < 0 ? -errno() : result;
    };
  };

  const receiveMany = five('recvmmsg', I, A, 'uint', I, A);
  return {
    socket: three('socket', I, I, I),
    bind: three('bind', I, A, 'uint'),
    connect: three('connect', I, A, 'uint'),
    listen: two('listen', I, I),
    accept4: four('accept4', I, A, A, I),
    setsockopt: five('setsockopt', I, I, I, A, 'uint'),
    getsockopt: five('getsockopt', I, I, I, A, A),
    getsockname: three('getsockname', I, A, A),
    getpeername: three('getpeername', I, A, A),
    sendmsg: three('sendmsg', I, A, I),
    sendmmsg: four('sendmmsg', I, A, 'uint', I),
    recvmsg: three('recvmsg', I, A, I),
    recvmmsg: (fd, messages, count, flags) => receiveMany(fd, messages, count, flags, 0),
    readv: three('readv', I, A, I),
    writev: three('writev', I, A, I),
    read: three('read', I, A, N),
    write: three('write', I, A, N),
    recv: four('recv', I, A, N, I),
    send: four('send', I, A, N, I),
    recvfrom: six('recvfrom', I, A, N, I, A, A),
    sendto: six('sendto', I, A, N, I, A, 'uint'),
    shutdown: two('shutdown', I, I),
    close: one('close', I),
    // Both are variadic in C; for integers the Linux ABIs of these machines pass them as if they were not.
    ioctl: three('ioctl', I, 'ulong', A),
    fcntl: three('fcntl', I, I, 'long'),
    epollCreate: one('epoll_create1', I),
    epollControl: four('epoll_ctl', I, I, I, A),
    epollWait: four('epoll_wait', I, A, I, I),
    eventfd: two('eventfd', 'uint', I),
    unlink: one('unlink', A),
    chmod: two('chmod', A, 'uint'),
  };
}
