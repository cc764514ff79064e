package main

import (
	"syscall"
	"time"
)

const (
	// SO_RCVBUFFORCE, which package syscall does not name: a burst shall not be lost here while the machine's two cores are busy.
	receiveBufferForce = 33
	receiveBuffer      = 8 << 20
)

func datagramSocket() int {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		fail(err)
	}
	return fd
}

func flood(address string, bytes int, w window) result {
	fd := datagramSocket()
	if err := syscall.Connect(fd, socketAddress(address)); err != nil {
		fail(err)
	}
	payload := make([]byte, bytes)
	count := 0
	for {
		// A refused or dropped datagram is the network's to lose, so errors are not looked at.
		_, err := syscall.Write(fd, payload)
		now := time.Now()
		if !now.Before(w.end) {
			return result{Count: count}
		}
		if err == nil && w.holds(now) {
			count++
		}
	}
}

func sink(address string, w window) result {
	fd := datagramSocket()
	syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, receiveBufferForce, receiveBuffer)
	wake := syscall.Timeval{Usec: 50_000}
	syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &wake)
	if err := syscall.Bind(fd, socketAddress(address)); err != nil {
		fail(err)
	}
	buffer := make([]byte, 64<<10)
	count := 0
	for {
		_, err := syscall.Read(fd, buffer)
		now := time.Now()
		if !now.Before(w.end) {
			return result{Count: count}
		}
		if err == nil && w.holds(now) {
			count++
		}
	}
}
