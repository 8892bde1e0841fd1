package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regionjwt/regionjwt/internal/conformance"
)

// Kinds of what a verifier does wrong.
const (
	accepted = "accepted" // what it must not accept
	refused  = "refused"  // what it must accept
	called   = "said bad" // of a token of which nothing is known
	slow     = "slow"     // callers waited for too long
	asked    = "requests" // a key server was asked too often, or a host that nothing may ask
)

// failure is a case or story that went wrong.
type failure struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
}

// result is what one verifier did.
type result struct {
	Adapter  string    `json:"adapter"`
	Library  string    `json:"library"`
	Language string    `json:"language"`
	Cases    int       `json:"cases"`   // that were judged
	Stories  int       `json:"stories"` // that were judged
	Skipped  []string  `json:"not_applicable"`
	Lenient  int       `json:"either_accepted"` // of the cases where both are right
	Failures []failure `json:"failures"`
}

// count returns how many cases, or stories, went wrong in a way.
func (r *result) count(story bool, kind string) int {
	n := 0
	for _, f := range r.Failures {
		if f.Kind == kind && isStory(f.ID) == story {
			n++
		}
	}
	return n
}

func (r *result) wrong() int { return len(r.Failures) }

// storyPrefix marks the IDs of stories in results: cases and stories have IDs of one form.
const storyPrefix = "story:"

func isStory(id string) bool { return strings.HasPrefix(id, storyPrefix) }

// run is one run of an adapter through the corpus.
type playground struct {
	adapter adapter
	corpus  *conformance.Corpus
	options options
	cert    *tls.Certificate
	roots   string
	sets    *keyServer

	mu     sync.Mutex
	result result
}

// judge runs an adapter through the corpus.
func (a *adapter) judge(ctx context.Context, corpus *conformance.Corpus, o options, progress io.Writer) (result, error) {
	dir, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return result{}, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	p := &playground{adapter: *a, corpus: corpus, options: o}
	p.result = result{Adapter: a.Name, Library: a.Library, Language: a.Language}
	cert, roots, err := certificate(dir)
	if err != nil {
		return result{}, err
	}
	p.roots = roots
	if a.tls {
		p.cert = cert
	}
	if p.sets, err = serve(ctx, corpus, conformance.Server{}, "", p.cert); err != nil {
		return result{}, err
	}
	defer p.sets.close()
	began := time.Now()
	if err := p.all(ctx); err != nil {
		return result{}, err
	}
	r := p.result
	slices.Sort(r.Skipped)
	slices.SortFunc(r.Failures, func(a, b failure) int { return strings.Compare(a.ID+a.Kind, b.ID+b.Kind) })
	_, _ = fmt.Fprintf(progress, "%-20s %3d cases, %2d stories, %3d wrong, %5.1f s\n", a.Name, r.Cases, r.Stories, r.wrong(),
		time.Since(began).Seconds())
	if o.verbose {
		for _, f := range r.Failures {
			_, _ = fmt.Fprintf(progress, "\t%s: %s: %s\n", f.ID, f.Kind, f.Detail)
		}
	}
	return r, nil
}

// all plays stories and cases. A story that went wrong is played once more, with fewer beside it, and that is what counts: the
// machine may have been busy.
func (p *playground) all(ctx context.Context) error {
	var tasks []task
	for _, s := range p.corpus.Stories {
		if strings.HasPrefix(s.ID, p.options.only) {
			tasks = append(tasks, func(proc *process) error { return p.story(ctx, proc, s) })
		}
	}
	for i, k := range p.corpus.Cases {
		if strings.HasPrefix(k.ID, p.options.only) && i%max(1, p.options.every) == 0 {
			tasks = append(tasks, func(proc *process) error { return p.one(ctx, proc, k) })
		}
	}
	if err := p.play(ctx, tasks, p.options.workers); err != nil {
		return err
	}
	wrong := map[string]bool{}
	p.result.Failures = slices.DeleteFunc(p.result.Failures, func(f failure) bool {
		wrong[f.ID] = wrong[f.ID] || isStory(f.ID)
		return isStory(f.ID)
	})
	tasks = nil
	for _, s := range p.corpus.Stories {
		if wrong[storyPrefix+s.ID] {
			p.result.Stories--
			tasks = append(tasks, func(proc *process) error { return p.story(ctx, proc, s) })
		}
	}
	return p.play(ctx, tasks, (p.options.workers+1)/2)
}

// task is something to do with a process of the adapter.
type task func(*process) error

// play does tasks with a number of workers.
func (p *playground) play(ctx context.Context, tasks []task, workers int) error {
	queue := make(chan task, len(tasks))
	for _, t := range tasks {
		queue <- t
	}
	close(queue)
	workers = min(workers, len(tasks))
	errs := make(chan error, workers)
	for range workers {
		go func() { errs <- p.work(ctx, queue) }()
	}
	var first error
	for range workers {
		if err := <-errs; first == nil {
			first = err
		}
	}
	return first
}

// work does the tasks of a queue. A process that has ended is started again.
func (p *playground) work(ctx context.Context, queue <-chan task) error {
	var proc *process
	defer func() {
		if proc != nil {
			proc.close()
		}
	}()
	for do := range queue {
		if ctx.Err() != nil {
			break
		}
		if proc != nil {
			select {
			case <-proc.ended:
				proc.close()
				proc = nil
			default:
			}
		}
		if proc == nil {
			var err error
			if proc, err = p.adapter.start(ctx, p.roots); err != nil {
				return err
			}
		}
		if err := do(proc); err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

func (p *playground) fail(id, kind, format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.result.Failures, func(f failure) bool { return f.ID == id && f.Kind == kind }) {
		p.result.Failures = append(p.result.Failures, failure{id, kind, fmt.Sprintf(format, args...)})
	}
}

// applies reports whether a verifier has what a case or story needs, and counts it.
func (p *playground) applies(id string, needs, unsupported []string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	unsupported = append(slices.Clone(unsupported), "clock")
	switch {
	case slices.ContainsFunc(needs, func(n string) bool { return slices.Contains(unsupported, n) }):
		p.result.Skipped = append(p.result.Skipped, id)
		return false
	case isStory(id):
		p.result.Stories++
	default:
		p.result.Cases++
	}
	return true
}

func configure(policy *conformance.Policy, id string, uri func(i conformance.Issuer) string) configuration {
	c := configuration{
		ID: id, Audience: policy.Audience, Algorithms: policy.Algorithms, Leeway: policy.Leeway, Types: policy.Types,
		Scopes: policy.Scopes, Revoked: policy.Revoked, Profile: policy.Profile,
	}
	for _, i := range policy.Issuers {
		c.Issuers = append(c.Issuers, configIssuer{Issuer: i.Issuer, JWKSURI: uri(i), Region: i.Region, Audience: i.Audience})
	}
	return c
}

// one plays a case.
func (p *playground) one(ctx context.Context, proc *process, k *conformance.Case) error {
	c := configure(&k.Policy, k.ID, func(i conformance.Issuer) string { return p.sets.base + "/set/" + i.Keys })
	set, err := proc.post(ctx, "/configure", c)
	needs := slices.Clone(k.Needs)
	if k.Expect == conformance.Accept && len(k.Policy.Algorithms) == 1 {
		needs = append(needs, k.Policy.Algorithms[0])
	}
	if len(k.Policy.Issuers) > 1 {
		needs = append(needs, "issuers")
	}
	if !p.applies(k.ID, needs, set.Unsupported) {
		return nil
	}
	if err != nil {
		p.fail(k.ID, crash, "configure: %v", err)
		return nil
	}
	token, err := p.corpus.Build(&k.Token, time.Now())
	if err != nil {
		return err
	}
	a := proc.verify(ctx, token)
	switch {
	case a.Result == crash, a.Result == timeout:
		p.fail(k.ID, crash, "%s", a.Detail)
	case k.Expect == conformance.Reject && a.Result == conformance.Accept:
		p.fail(k.ID, accepted, "%s", k.Title)
	case k.Expect == conformance.Accept && a.Result != conformance.Accept:
		p.fail(k.ID, refused, "%s: %s", a.Result, a.Detail)
	case k.Expect == conformance.Either && a.Result == conformance.Accept:
		p.mu.Lock()
		p.result.Lenient++
		p.mu.Unlock()
	}
	return nil
}
