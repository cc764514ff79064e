package main

import (
	"net"
	"strconv"
)

// serve listens on the given port for bulk and on the next one for echo, and returns.
func serve(address string) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		fail(err)
	}
	listener, err := net.Listen("tcp4", address)
	if err != nil {
		fail(err)
	}
	serveEcho(net.JoinHostPort(host, strconv.Itoa(number(port)+1)))
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				fail(err)
			}
			go serveBulk(c)
		}
	}()
}
