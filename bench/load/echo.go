package main

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Round trips are made and answered by one thread each with an epoll of its own: Go's network poller would spend several
// microseconds of CPU a round trip on waking goroutines, next to programs that spend thirty.

const (
	maxEvents = 128
	// Sums 10 s of round trips at 100,000/s.
	expectedRoundTrips = 1 << 20
)

func socketAddress(text string) *syscall.SockaddrInet4 {
	address, err := netip.ParseAddrPort(text)
	if err != nil {
		fail(err)
	}
	return &syscall.SockaddrInet4{Addr: address.Addr().As4(), Port: int(address.Port())}
}

func tcpSocket() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		fail(err)
	}
	syscall.SetsockoptInt(fd, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	return fd
}

func watch(epoll, fd int, events uint32) {
	event := syscall.EpollEvent{Events: events, Fd: int32(fd)}
	if err := syscall.EpollCtl(epoll, syscall.EPOLL_CTL_ADD, fd, &event); err != nil {
		fail(err)
	}
}

func newEpoll() int {
	epoll, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		fail(err)
	}
	return epoll
}

// serveEcho answers each byte with itself, for ever.
func serveEcho(address string) {
	listener := tcpSocket()
	syscall.SetsockoptInt(listener, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1)
	if err := syscall.Bind(listener, socketAddress(address)); err != nil {
		fail(err)
	}
	if err := syscall.Listen(listener, 4096); err != nil {
		fail(err)
	}
	epoll := newEpoll()
	watch(epoll, listener, syscall.EPOLLIN)
	go func() {
		runtime.LockOSThread()
		buffer := make([]byte, 64<<10)
		events := make([]syscall.EpollEvent, maxEvents)
		for {
			n, _ := syscall.EpollWait(epoll, events, -1)
			for _, event := range events[:max(n, 0)] {
				fd := int(event.Fd)
				if fd == listener {
					if c, _, err := syscall.Accept4(listener, syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC); err == nil {
						syscall.SetsockoptInt(c, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
						watch(epoll, c, syscall.EPOLLIN)
					}
					continue
				}
				got, err := syscall.Read(fd, buffer)
				if err == syscall.EAGAIN || err == syscall.EINTR {
					continue
				}
				if err == nil && got > 0 {
					_, err = syscall.Write(fd, buffer[:got])
				}
				if err != nil || got == 0 {
					syscall.Close(fd)
				}
			}
		}
	}()
}

// One connection of roundTrips; begun when its first byte, or its SYN, went out.
type exchange struct {
	begun     time.Time
	connected bool
	received  int
}

type client struct {
	to        *syscall.SockaddrInet4
	payload   []byte
	epoll     int
	exchanges map[int]*exchange
}

func (c *client) open() {
	fd := tcpSocket()
	c.exchanges[fd] = &exchange{begun: time.Now()}
	if err := syscall.Connect(fd, c.to); err != nil && err != syscall.EINPROGRESS {
		fail(err)
	}
	watch(c.epoll, fd, syscall.EPOLLIN|syscall.EPOLLOUT|(syscall.EPOLLET&0xffffffff))
}

func (c *client) close(fd int) {
	delete(c.exchanges, fd)
	syscall.Close(fd)
}

// roundTrips keeps `connections` busy, each with one payload under way. With `anew`, each round trip has a connection of its own,
// and its time includes connecting.
func roundTrips(address string, connections, bytes int, anew bool, w window) result {
	runtime.LockOSThread()
	c := client{socketAddress(address), make([]byte, bytes), newEpoll(), map[int]*exchange{}}
	for range connections {
		c.open()
	}
	took := make([]float64, 0, expectedRoundTrips)
	events := make([]syscall.EpollEvent, maxEvents)
	buffer := make([]byte, bytes)
	failed := 0
	for time.Now().Before(w.end) && failed < 1000 {
		n, _ := syscall.EpollWait(c.epoll, events, 100)
		for _, event := range events[:max(n, 0)] {
			fd := int(event.Fd)
			x := c.exchanges[fd]
			if !x.connected {
				if event.Events&(syscall.EPOLLOUT|syscall.EPOLLERR|syscall.EPOLLHUP) == 0 {
					continue
				}
				if code, _ := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ERROR); code != 0 {
					failed++
					c.close(fd)
					c.open()
					continue
				}
				x.connected = true
				if !anew {
					x.begun = time.Now()
				}
				syscall.Write(fd, c.payload)
				continue
			}
			if event.Events&^uint32(syscall.EPOLLOUT) == 0 {
				continue
			}
			got, err := syscall.Read(fd, buffer[x.received:])
			if err == syscall.EAGAIN {
				continue
			}
			if err != nil || got == 0 {
				failed++
				c.close(fd)
				c.open()
				continue
			}
			if x.received += got; x.received < bytes {
				continue
			}
			now := time.Now()
			if w.holds(now) {
				took = append(took, float64(now.Sub(x.begun).Nanoseconds())/1e3)
			}
			if anew {
				c.close(fd)
				c.open()
				continue
			}
			x.received, x.begun = 0, time.Now()
			syscall.Write(fd, c.payload)
		}
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		if len(took) == 0 {
			return 0
		}
		return took[int(share*float64(len(took)-1))]
	}
	return result{Count: len(took), P50: at(0.5), P99: at(0.99), Errors: failed}
}

// probe asks until one byte has come back.
func probe(address string, patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if c := echoOnce(address); c != nil {
			c.Close()
			return
		}
	}
	fail(syscall.ETIMEDOUT)
}

// idle opens connections one by one and proves each with one byte. Fewer are returned where some fail.
func idle(address string, connections int) (held []net.Conn) {
	for range connections {
		if c := echoOnce(address); c != nil {
			held = append(held, c)
		}
	}
	return held
}

func echoOnce(address string) net.Conn {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return nil
	}
	c.SetDeadline(time.Now().Add(2 * time.Second))
	one := make([]byte, 1)
	if _, err := c.Write(one); err == nil {
		if _, err := c.Read(one); err == nil {
			c.SetDeadline(time.Time{})
			return c
		}
	}
	c.Close()
	return nil
}
