// load makes the traffic of `npm run bench` and answers it. Linux only.
//
//	load serve ADDRESS:PORT                                 bulk on PORT, echo on PORT+1, until stdin ends
//	load probe ADDRESS:PORT MILLISECONDS                    one byte echoed, tried until it works
//	load bulk up|down ADDRESS:PORT STREAMS BEGIN END        -> bytes
//	load echo ADDRESS:PORT CONNECTIONS BYTES BEGIN END      -> count, p50, p99, errors: round trips on open connections
//	load connect ADDRESS:PORT AT-ONCE BEGIN END             -> the same: connect, one byte echoed, close
//	load flood ADDRESS:PORT BYTES BEGIN END                 -> count: datagrams as fast as send() takes them
//	load sink ADDRESS:PORT BEGIN END                        -> count: datagrams that arrive
//	load idle ADDRESS:PORT CONNECTIONS                      -> count once all are open; holds them until stdin ends
//
// BEGIN and END are milliseconds of the Unix clock, which both ends share: traffic flows from the start of the process, and only
// what happens within that window is counted. Each command prints one line of JSON, and ends when its stdin does.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"
)

// What a measurement saw within its window. Latencies in microseconds.
type result struct {
	Bytes  int64   `json:"bytes,omitempty"`
	Count  int     `json:"count,omitempty"`
	P50    float64 `json:"p50,omitempty"`
	P99    float64 `json:"p99,omitempty"`
	Errors int     `json:"errors,omitempty"`
}

type window struct{ begin, end time.Time }

func (w window) holds(t time.Time) bool { return !t.Before(w.begin) && t.Before(w.end) }

func fail(err error) {
	fmt.Fprintln(os.Stderr, "load:", err)
	os.Exit(1)
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		fail(err)
	}
	return n
}

func windowOf(args []string) window {
	return window{time.UnixMilli(int64(number(args[0]))), time.UnixMilli(int64(number(args[1])))}
}

func report(r result) {
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		fail(err)
	}
}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("see the head of main.go"))
	}
	stdinEnded := make(chan struct{})
	go func() {
		io.Copy(io.Discard, os.Stdin)
		close(stdinEnded)
	}()
	done := make(chan struct{})
	go func() {
		run(os.Args[1], os.Args[2:], stdinEnded)
		close(done)
	}()
	select {
	case <-done:
	case <-stdinEnded:
	}
}

func run(command string, args []string, stdinEnded <-chan struct{}) {
	switch command {
	case "serve":
		serve(args[0])
		fmt.Println("{}")
		<-stdinEnded
	case "probe":
		probe(args[0], time.Duration(number(args[1]))*time.Millisecond)
		report(result{})
	case "bulk":
		report(bulk(args[0] == "up", args[1], number(args[2]), windowOf(args[3:])))
	case "echo":
		report(roundTrips(args[0], number(args[1]), number(args[2]), false, windowOf(args[3:])))
	case "connect":
		report(roundTrips(args[0], number(args[1]), 1, true, windowOf(args[2:])))
	case "flood":
		report(flood(args[0], number(args[1]), windowOf(args[2:])))
	case "sink":
		report(sink(args[0], windowOf(args[1:])))
	case "idle":
		held := idle(args[0], number(args[1]))
		report(result{Count: len(held)})
		<-stdinEnded
	default:
		fail(fmt.Errorf("no command %s", command))
	}
}
