package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/regionjwt/regionjwt/cmd/regionjwt/internal/cli"
)

// place is where to listen, and for whom.
type place struct {
	dialect string // "" for the status page
	address string
}

// places reads the values of --listen and --status.
func places(listen []string, status string) ([]place, error) {
	var all []place
	for _, text := range listen {
		name, address, ok := strings.Cut(text, "=")
		if _, known := dialects[name]; !ok || !known {
			return nil, cli.Fail(cli.ExitUsage,
				"--listen %s: give nginx=ADDRESS, caddy=ADDRESS or envoy=ADDRESS, with HOST:PORT or unix:PATH", cli.Clip(text))
		}
		all = append(all, place{name, address})
	}
	if len(all) == 0 {
		return nil, cli.Fail(cli.ExitUsage, "give --listen, such as --listen nginx=127.0.0.1:9180")
	}
	if status != "" {
		all = append(all, place{"", status})
	}
	for i, p := range all {
		same := func(other place) bool { return other.address == p.address && !strings.HasSuffix(p.address, ":0") }
		if slices.ContainsFunc(all[:i], same) {
			return nil, cli.Fail(cli.ExitUsage, "%s is there twice: one listener speaks one dialect", cli.Clip(p.address))
		}
	}
	return all, nil
}

const (
	unixPrefix = "unix:"
	socketMode = 0o660 // the proxy is in the group
	probeTime  = time.Second
)

// listen opens a listener.
func listen(ctx context.Context, p place) (net.Listener, error) {
	network, address := "tcp", p.address
	if path, ok := strings.CutPrefix(p.address, unixPrefix); ok {
		network, address = "unix", path
		if !filepath.IsAbs(path) {
			return nil, cli.Fail(cli.ExitUsage, "%s: the path of a socket must be absolute", cli.Clip(p.address))
		}
		if err := removeStale(ctx, path); err != nil {
			return nil, cli.Fail(cli.ExitUsage, "%w", err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, network, address)
	if err != nil {
		return nil, cli.Fail(cli.ExitUsage, "%w", err)
	}
	if network == "unix" {
		if err := os.Chmod(address, socketMode); err != nil {
			return nil, errors.Join(cli.Fail(cli.ExitUsage, "%w", err), l.Close())
		}
	}
	return l, nil
}

// removeStale removes a socket that a process left behind. It leaves everything else alone.
func removeStale(ctx context.Context, path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s is there, and not a socket", path)
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("another process listens on %s", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}
