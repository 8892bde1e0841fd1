package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// fault is what a proxy does to the connections that it takes. The zero fault passes them on.
type fault string

// The faults of a proxy, and those of the process behind it.
const (
	none    fault = ""
	reset   fault = "reset"   // connections are reset at once
	hang    fault = "hang"    // connections are taken, and nothing is answered
	slow    fault = "slow"    // the answer comes after slowFor
	status  fault = "503"     // with Retry-After
	garbage fault = "garbage" // 200, and not JSON
	empty   fault = "empty"   // 200, and a key set without keys
	cut     fault = "cut"     // the answer ends in the middle
	frozen  fault = "SIGSTOP" // of the process; the kernel takes connections for it
	killed  fault = "SIGKILL" // of the process, which is started again
)

var faults = []fault{reset, hang, slow, status, garbage, empty, cut, frozen, killed}

const slowFor = 1500 * time.Millisecond

// proxy stands between the service and an issuer. Its address is the issuer's iss.
type proxy struct {
	listener net.Listener

	mu     sync.Mutex
	target string
	fault  fault
	open   map[net.Conn]bool // of the client's side
}

func newProxy(ctx context.Context) (*proxy, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, open: map[net.Conn]bool{}}
	go p.run(ctx)
	return p, nil
}

func (p *proxy) url() string { return "http://" + p.listener.Addr().String() }

// set changes what is done from now on, and ends the connections that are open.
func (p *proxy) set(target string, f fault) {
	p.mu.Lock()
	p.target, p.fault = target, f
	open := p.open
	p.open = map[net.Conn]bool{}
	p.mu.Unlock()
	for c := range open {
		_ = c.Close()
	}
}

// run takes connections until ctx ends.
func (p *proxy) run(ctx context.Context) {
	context.AfterFunc(ctx, func() {
		_ = p.listener.Close()
		p.set("", reset)
	})
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, f := p.target, p.fault
		p.open[c] = true
		p.mu.Unlock()
		go func() {
			p.handle(ctx, c, target, f)
			_ = c.Close()
			p.mu.Lock()
			delete(p.open, c)
			p.mu.Unlock()
		}()
	}
}

// answers are those that the proxy gives by itself.
var answers = map[fault]string{
	status:  "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
	garbage: "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"keys\"",
	empty:   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\nConnection: close\r\n\r\n{\"keys\":[]}",
}

func (p *proxy) handle(ctx context.Context, c net.Conn, target string, f fault) {
	switch f {
	case reset:
		abort(c)
	case hang:
		_, _ = io.Copy(io.Discard, c) // until set closes it
	case status, garbage, empty:
		if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.WriteString(c, answers[f])
		}
	default:
		p.forward(ctx, c, target, f)
	}
}

// forward copies in both directions until one side ends.
func (p *proxy) forward(ctx context.Context, c net.Conn, target string, f fault) {
	out, err := new(net.Dialer).DialContext(ctx, "tcp", target)
	if err != nil {
		abort(c)
		return
	}
	defer func() { _ = out.Close() }()
	go func() {
		_, _ = io.Copy(out, c)
		_ = out.Close()
	}()
	switch f {
	case cut:
		_, _ = io.CopyN(c, out, 160)
		abort(c)
	case slow:
		first := make([]byte, 1)
		if _, err := io.ReadFull(out, first); err != nil {
			return
		}
		if !pause(ctx, slowFor) {
			return
		}
		_, _ = io.Copy(c, io.MultiReader(strings.NewReader(string(first)), out))
	default:
		_, _ = io.Copy(c, out)
	}
}

// abort resets a connection.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}

// pause waits, and reports whether ctx is still going on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
