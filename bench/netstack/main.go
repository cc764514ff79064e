// netstack is the peer that `npm run bench` measures beside ours: a forwarder on wireguard-go and gVisor's TCP/IP, in the way that
// the common userspace WireGuard proxies are built. A goroutine copies each direction of a connection; each UDP client has a
// connected socket in the tunnel.
//
// It reads a JSON configuration from the first line of stdin, prints "ready", and runs until stdin ends.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun/netstack"
)

type rule struct {
	Protocol string         `json:"protocol"`
	Listen   netip.AddrPort `json:"listen"`
	Connect  netip.AddrPort `json:"connect"`
}

type configuration struct {
	// What the cross-platform protocol of WireGuard calls `set`: keys in hex, one key=value a line.
	Device  string     `json:"device"`
	Address netip.Addr `json:"address"`
	MTU     int        `json:"mtu"`
	Egress  []rule     `json:"egress"`
	Ingress []rule     `json:"ingress"`
}

const udpIdle = 60 * time.Second

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "netstack:", err)
		os.Exit(1)
	}
}

func main() {
	input := bufio.NewReader(os.Stdin)
	line, err := input.ReadBytes('\n')
	check(err)
	var c configuration
	check(json.Unmarshal(line, &c))
	tun, tunnel, err := netstack.CreateNetTUN([]netip.Addr{c.Address}, nil, c.MTU)
	check(err)
	wireguard := device.NewDevice(tun, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, "netstack: "))
	check(wireguard.IpcSet(c.Device))
	check(wireguard.Up())
	for _, r := range c.Egress {
		if r.Protocol == "udp" {
			check(forwardDatagrams(tunnel, r))
			continue
		}
		listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(r.Listen))
		check(err)
		go forward(listener, func() (net.Conn, error) { return tunnel.DialTCPAddrPort(r.Connect) })
	}
	for _, r := range c.Ingress {
		listener, err := tunnel.ListenTCPAddrPort(r.Listen)
		check(err)
		go forward(listener, func() (net.Conn, error) { return net.Dial("tcp", r.Connect.String()) })
	}
	fmt.Println("ready")
	io.Copy(io.Discard, input)
}

type halfCloser interface{ CloseWrite() error }

func forward(listener net.Listener, dial func() (net.Conn, error)) {
	for {
		client, err := listener.Accept()
		check(err)
		go func() {
			defer client.Close()
			server, err := dial()
			if err != nil {
				return
			}
			defer server.Close()
			var both sync.WaitGroup
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				both.Go(func() {
					io.Copy(way[1], way[0])
					way[1].(halfCloser).CloseWrite()
				})
			}
			both.Wait()
		}()
	}
}

func forwardDatagrams(tunnel *netstack.Net, r rule) error {
	local, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(r.Listen))
	if err != nil {
		return err
	}
	var lock sync.Mutex
	flows := map[netip.AddrPort]net.Conn{}
	open := func(client netip.AddrPort) (net.Conn, error) {
		lock.Lock()
		defer lock.Unlock()
		if flow, known := flows[client]; known {
			return flow, nil
		}
		flow, err := tunnel.DialUDPAddrPort(netip.AddrPort{}, r.Connect)
		if err != nil {
			return nil, err
		}
		flows[client] = flow
		go func() {
			buffer := make([]byte, 64<<10)
			for {
				flow.SetReadDeadline(time.Now().Add(udpIdle))
				n, err := flow.Read(buffer)
				if err != nil {
					break
				}
				local.WriteToUDPAddrPort(buffer[:n], client)
			}
			lock.Lock()
			delete(flows, client)
			lock.Unlock()
			flow.Close()
		}()
		return flow, nil
	}
	go func() {
		buffer := make([]byte, 64<<10)
		for {
			n, client, err := local.ReadFromUDPAddrPort(buffer)
			if err != nil {
				continue
			}
			if flow, err := open(client); err == nil {
				flow.Write(buffer[:n])
			}
		}
	}()
	return nil
}
