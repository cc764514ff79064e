package main

import (
	"encoding/binary"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// The first bytes of a bulk connection: 'u' or 'd', then begin and end of the window in Unix milliseconds.
// The receiver counts. For 'u' that is the server, which answers with 8 bytes after the window.
const (
	headerBytes = 17
	bufferBytes = 256 << 10
	// A connection that outlives its window by this much is cut.
	patience = 8 * time.Second
)

func serveBulk(c net.Conn) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	var header [headerBytes]byte
	if _, err := io.ReadFull(c, header[:]); err != nil {
		return
	}
	w := window{
		time.UnixMilli(int64(binary.BigEndian.Uint64(header[1:]))),
		time.UnixMilli(int64(binary.BigEndian.Uint64(header[9:]))),
	}
	c.SetDeadline(w.end.Add(patience))
	if header[0] == 'd' {
		send(c)
		return
	}
	var answer [8]byte
	binary.BigEndian.PutUint64(answer[:], uint64(receive(c, w)))
	c.Write(answer[:])
	// Reads on, so that the answer is not lost to the reset that unread bytes would cause.
	io.Copy(io.Discard, c)
}

// send writes until the connection ends.
func send(c net.Conn) {
	buffer := make([]byte, bufferBytes)
	for {
		if _, err := c.Write(buffer); err != nil {
			return
		}
	}
}

// receive reads until the window has passed and counts what came within it.
func receive(c net.Conn, w window) (bytes int64) {
	buffer := make([]byte, bufferBytes)
	for {
		n, err := c.Read(buffer)
		now := time.Now()
		if w.holds(now) {
			bytes += int64(n)
		}
		if err != nil || !now.Before(w.end) {
			return bytes
		}
	}
}

func bulk(up bool, address string, streams int, w window) result {
	var total atomic.Int64
	var failed atomic.Int64
	done := make(chan struct{})
	for range streams {
		go func() {
			bytes, err := stream(up, address, w)
			total.Add(bytes)
			if err != nil || bytes == 0 {
				failed.Add(1)
			}
			done <- struct{}{}
		}()
	}
	for range streams {
		<-done
	}
	return result{Bytes: total.Load(), Errors: int(failed.Load())}
}

func stream(up bool, address string, w window) (int64, error) {
	c, err := net.DialTimeout("tcp", address, 3*time.Second)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	c.SetDeadline(w.end.Add(patience))
	header := make([]byte, headerBytes)
	header[0] = 'd'
	if up {
		header[0] = 'u'
	}
	binary.BigEndian.PutUint64(header[1:], uint64(w.begin.UnixMilli()))
	binary.BigEndian.PutUint64(header[9:], uint64(w.end.UnixMilli()))
	if _, err := c.Write(header); err != nil {
		return 0, err
	}
	if !up {
		return receive(c, w), nil
	}
	go send(c)
	var answer [8]byte
	if _, err := io.ReadFull(c, answer[:]); err != nil {
		return 0, err
	}
	return int64(binary.BigEndian.Uint64(answer[:])), nil
}
