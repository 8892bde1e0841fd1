package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"

	"github.com/regionjwt/regionjwt/internal/strictjson"
)

// process is this program once more, in a process of its own, in another role. It reads its configuration as the first line of
// its input and then one command a line, answers each with a line, and ends when its input does.
type process struct {
	cmd *exec.Cmd

	mu    sync.Mutex // one command at a time
	stdin io.WriteCloser
	lines *bufio.Reader
}

// start runs a role and waits until it is ready.
func start(ctx context.Context, role string, config, ready any) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, role) //nolint:gosec // this program, and one of its own roles
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, stdin: stdin, lines: bufio.NewReader(stdout)}
	if err := p.ask(config, ready); err != nil {
		p.kill()
		return nil, fmt.Errorf("%s: %w", role, err)
	}
	return p, nil
}

// ask sends a command and waits for its answer.
func (p *process) ask(command, answer any) error {
	line, err := json.Marshal(command)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.stdin.Write(append(line, '\n')); err != nil {
		return err
	}
	got, err := p.lines.ReadBytes('\n')
	if err != nil {
		return err
	}
	return decode(got, answer)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// freeze stops the process by SIGSTOP: the kernel goes on taking connections for it, and nobody answers them.
func (p *process) freeze() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// thaw lets the process go on.
func (p *process) thaw() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// kill ends the process by SIGKILL and waits until it is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// serve is the other side: it answers the lines of the input until it ends.
func serve(in io.Reader, out io.Writer, answer func(line []byte) (any, error)) error {
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := answer(line)
		if err != nil {
			return err
		}
		text, err := json.Marshal(a)
		if err != nil {
			return err
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return err
		}
	}
}

// decode reads a document that is one JSON object.
func decode(doc []byte, into any) error {
	if _, err := strictjson.Parse(nil, string(doc)); err != nil {
		return err
	}
	return strictjson.Unmarshal(string(doc), into)
}
