//go:build browser

// Package browser opens the status page in a real headless browser, driven over the DevTools protocol through a pipe: `make
// browser`, or `go test -tags browser ./browser`. It needs chromium; BROWSER names another one. SCREENSHOTS names a folder for
// pictures of what was seen.
package browser_test

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const patience = 60 * time.Second // for one answer of the browser, on a busy machine

// executable returns the browser.
func executable(t *testing.T) string {
	t.Helper()
	name := os.Getenv("BROWSER")
	if name == "" {
		name = "chromium"
	}
	path, err := exec.LookPath(name)
	require.NoError(t, err, "install chromium, or let BROWSER name a browser that speaks its protocol")
	return path
}

// message is one message of the DevTools protocol.
type message struct {
	ID      int             `json:"id,omitempty"`
	Session string          `json:"sessionId,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Error   json.RawMessage `json:"error,omitempty"`
}

// tab is a tab of a browser.
type tab struct {
	t       *testing.T
	to      *os.File
	session string
	ids     int
	answers chan message
	loaded  chan struct{}

	mu        sync.Mutex // guards what follows
	requested []string   // URLs
	complains []string   // what the console got
}

// open starts a browser with one empty tab, and ends it with the test.
func open(t *testing.T) *tab {
	t.Helper()
	profile := t.TempDir()
	theirIn, ourOut, err := os.Pipe()
	require.NoError(t, err)
	ourIn, theirOut, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), executable(t), "--headless=new", "--no-sandbox", "--remote-debugging-pipe",
		"--user-data-dir="+profile, "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "about:blank")
	cmd.ExtraFiles = []*os.File{theirIn, theirOut} // descriptors 3 and 4
	cmd.Env = append(os.Environ(), "TMPDIR="+profile)
	require.NoError(t, cmd.Start())
	require.NoError(t, theirIn.Close())
	require.NoError(t, theirOut.Close())
	b := &tab{t: t, to: ourOut, answers: make(chan message, 1), loaded: make(chan struct{}, 1)}
	go b.read(ourIn)
	t.Cleanup(func() {
		b.session = ""
		_ = b.send("Browser.close", nil)
		kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		kill.Stop()
		_ = ourOut.Close()
		for range b.answers { // what nobody waits for any more
		}
		_ = ourIn.Close()
		for range 50 { // processes of the browser that end after it write there still
			if os.RemoveAll(profile) == nil {
				return
			}
			time.Sleep(100 * time.Millisecond)
		}
	})
	var target struct{ TargetID string }
	b.ask("Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.ask("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		b.ask(domain+".enable", nil, nil)
	}
	return b
}

func (b *tab) send(method string, params any) error {
	if params == nil {
		params = struct{}{}
	}
	raw, err := json.Marshal(params)
	if err != nil {
		return err
	}
	b.ids++
	text, err := json.Marshal(message{ID: b.ids, Session: b.session, Method: method, Params: raw})
	if err != nil {
		return err
	}
	_, err = b.to.Write(append(text, 0))
	return err
}

// ask sends a command and waits for its answer.
func (b *tab) ask(method string, params, into any) {
	b.t.Helper()
	require.NoError(b.t, b.send(method, params))
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-timer.C:
		require.Fail(b.t, "no answer", method)
	case m, ok := <-b.answers:
		require.True(b.t, ok, "the browser has ended")
		require.Equal(b.t, b.ids, m.ID)
		require.Empty(b.t, string(m.Error), method)
		if into != nil {
			require.NoError(b.t, json.Unmarshal(m.Result, into))
		}
	}
}

// read takes in answers and events until the browser ends.
func (b *tab) read(from *os.File) {
	defer close(b.answers)
	messages := bufio.NewReader(from)
	for {
		text, err := messages.ReadBytes(0)
		if err != nil {
			return
		}
		var m message
		switch {
		case json.Unmarshal(text[:len(text)-1], &m) != nil:
		case m.ID != 0:
			b.answers <- m
		default:
			b.event(m)
		}
	}
}

func (b *tab) event(m message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch m.Method {
	case "Network.requestWillBeSent":
		var p struct{ Request struct{ URL string } }
		_ = json.Unmarshal(m.Params, &p)
		b.requested = append(b.requested, p.Request.URL)
	case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown":
		b.complains = append(b.complains, string(m.Params))
	case "Page.loadEventFired":
		select {
		case b.loaded <- struct{}{}:
		default:
		}
	}
}

// visit opens a URL in a theme at a width, and returns when it is there.
func (b *tab) visit(url, theme string, width, height int, mobile bool) {
	b.t.Helper()
	b.ask("Emulation.setEmulatedMedia", map[string]any{
		"features": []map[string]string{{"name": "prefers-color-scheme", "value": theme}},
	}, nil)
	b.ask("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 2, "mobile": mobile,
	}, nil)
	select {
	case <-b.loaded:
	default:
	}
	b.ask("Page.navigate", map[string]any{"url": url}, nil)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-timer.C:
		require.Fail(b.t, "the page does not load")
	case <-b.loaded:
	}
}

// evaluate evaluates an expression in the page.
func (b *tab) evaluate(expression string, into any) {
	b.t.Helper()
	var answer struct {
		Result           struct{ Value json.RawMessage }
		ExceptionDetails json.RawMessage
	}
	b.ask("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	require.Empty(b.t, string(answer.ExceptionDetails))
	require.NoError(b.t, json.Unmarshal(answer.Result.Value, into))
}

// picture returns a PNG of the page, down to a height.
func (b *tab) picture(width, height int) []byte {
	b.t.Helper()
	var shot struct{ Data string }
	b.ask("Page.captureScreenshot", map[string]any{
		"captureBeyondViewport": true,
		"clip":                  map[string]any{"x": 0, "y": 0, "width": width, "height": height, "scale": 1},
	}, &shot)
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	require.NoError(b.t, err)
	return png
}
