package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/conformance"
)

// stage is a story in progress.
type stage struct {
	*playground
	process *process
	story   *conformance.Story
	id      string
	servers map[string]*keyServer
	other   *keyServer
	began   time.Time
}

// story plays a story.
func (p *playground) story(ctx context.Context, proc *process, s *conformance.Story) error {
	st := &stage{playground: p, process: proc, story: s, id: storyPrefix + s.ID, servers: map[string]*keyServer{}}
	var err error
	lure := conformance.Server{Answers: []conformance.Answer{{Keys: []string{"us-1", "us-2"}}}}
	if st.other, err = serve(ctx, p.corpus, lure, "", p.cert); err != nil {
		return err
	}
	defer st.other.close()
	for name, server := range s.Servers {
		if st.servers[name], err = serve(ctx, p.corpus, server, st.other.base, p.cert); err != nil {
			return err
		}
		defer st.servers[name].close()
	}
	c := configure(&s.Policy, s.ID, func(i conformance.Issuer) string { return st.servers[i.Keys].base + "/jwks.json" })
	c.Refresh = s.Refresh
	set, err := proc.post(ctx, "/configure", c)
	needs := append(slices.Clone(s.Needs), "fetch")
	for _, step := range s.Steps {
		if step.Revoke != "" {
			needs = append(needs, "clock") // over HTTP, nothing can be revoked later
		}
	}
	if !p.applies(st.id, needs, set.Unsupported) {
		return nil
	}
	if err != nil {
		p.fail(st.id, crash, "configure: %v", err)
		return nil
	}
	return st.play(ctx)
}

func (s *stage) play(ctx context.Context) error {
	s.began = time.Now()
	var background sync.WaitGroup
	defer background.Wait()
	for i, step := range s.story.Steps {
		switch {
		case step.Present != nil:
			tokens, err := s.corpus.Tokens(s.story, step.Present, time.Now())
			if err != nil {
				return err
			}
			if step.Present.Background {
				background.Go(func() { s.present(ctx, i, step.Present, tokens) })
				sleep(ctx, 0.2)
				continue
			}
			s.present(ctx, i, step.Present, tokens)
		case step.Wait > 0:
			sleep(ctx, step.Wait)
		case step.Serve != nil:
			s.servers[step.Serve.Server].change(step.Serve.What)
		case step.Silence != "":
			s.servers[step.Silence].listen.Silence()
		case step.Requests != nil:
			s.count(i, step.Requests)
		}
	}
	return nil
}

func sleep(ctx context.Context, seconds float64) {
	t := time.NewTimer(time.Duration(seconds * float64(time.Second)))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (s *stage) count(i int, want *conformance.Requests) {
	server := s.servers[want.Server]
	if server == nil {
		server = s.other
	}
	requests, written := server.counts()
	most := want.Max + int(want.Rate*time.Since(s.began).Seconds())
	switch {
	case requests > most:
		s.fail(s.id, asked, "step %d: %d requests to %s, at most %d are right", i+1, requests, want.Server, most)
	case want.MaxMB > 0 && float64(written) > want.MaxMB*(1<<20):
		s.fail(s.id, asked, "step %d: %d MB were read from %s", i+1, written>>20, want.Server)
	}
}

// present presents tokens, and judges the answers.
func (s *stage) present(ctx context.Context, i int, p *conformance.Present, tokens []string) {
	began := time.Now()
	all := make([]string, 0, len(tokens)*max(1, p.Parallel))
	for _, t := range tokens {
		all = append(all, slices.Repeat([]string{t}, max(1, p.Parallel))...)
	}
	if p.Parallel > 1 {
		var wg sync.WaitGroup
		for _, t := range all {
			wg.Go(func() { s.one(ctx, i, p, t) })
		}
		wg.Wait()
	} else {
		for _, t := range all {
			s.one(ctx, i, p, t)
		}
	}
	if took := time.Since(began).Seconds(); p.Within > 0 && took > p.Within {
		s.fail(s.id, slow, "step %d: %.1f s, at most %.1f s is right", i+1, took, p.Within)
	}
}

// one presents one token, again and again where the answer may come late.
func (s *stage) one(ctx context.Context, i int, p *conformance.Present, token string) {
	right := append([]string{p.Expect}, p.Also...)
	for began := time.Now(); ; sleep(ctx, 0.1) {
		a := s.process.verify(ctx, token)
		if slices.Contains(right, a.Result) {
			return
		}
		if time.Since(began).Seconds() < p.Until && a.Result != crash && a.Result != timeout {
			continue
		}
		detail := fmt.Sprintf("step %d: %s, not %s: %s", i+1, a.Result, p.Expect, a.Detail)
		switch {
		case a.Result == timeout:
			s.fail(s.id, slow, "%s", detail)
		case a.Result == crash:
			s.fail(s.id, crash, "%s", detail)
		case a.Result == conformance.Accept:
			s.fail(s.id, accepted, "%s", detail)
		case p.Expect == conformance.Accept:
			s.fail(s.id, refused, "%s", detail)
		case a.Result == conformance.Invalid:
			s.fail(s.id, called, "%s", detail)
		default: // a bad token of which "cannot tell" was said
			s.fail(s.id, unsure, "%s", detail)
		}
		return
	}
}

// unsure is the kind of failure of a verifier that could have known.
const unsure = "unsure"
