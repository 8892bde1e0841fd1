package main

import (
	"fmt"
	"strings"

	"github.com/regionjwt/regionjwt/bench/internal/peers"
)

// tokens presents properly signed tokens that no strict reader accepts.
func tokens(l peers.Library) string {
	return stage(l, 0, func(p *idp, s peers.Subject) string {
		var accepted []string
		all := wrongTokens(p)
		for _, t := range all {
			if verify(s, t.raw, patience) == nil {
				accepted = append(accepted, t.name)
			}
		}
		if len(accepted) == 0 {
			return fmt.Sprintf("all %d refused", len(all))
		}
		return "**accepted**: " + strings.Join(accepted, ", ")
	})
}

type wrongToken struct{ name, raw string }

func wrongTokens(p *idp) []wrongToken {
	k := p.signer()
	with := func(change func(c map[string]any)) []byte {
		c := claims(p.base)
		change(c)
		return marshal(c)
	}
	good := marshal(claims(p.base))
	nobodys := with(func(c map[string]any) { delete(c, "iss") })
	issued := func(members string) []byte { return append([]byte("{"+members+","), nobodys[1:]...) }
	return []wrongToken{
		{"crit", k.sign(map[string]any{"crit": []string{"x-unknown"}, "x-unknown": true}, good)},
		{"2 iss", k.sign(nil, issued(fmt.Sprintf(`"iss":"https://evil.example/","iss":%q`, p.base)))},
		{"iss+ISS", k.sign(nil, issued(fmt.Sprintf(`"iss":"https://evil.example/","ISS":%q`, p.base)))},
		{"no exp", k.sign(nil, with(func(c map[string]any) { delete(c, "exp") }))},
		{"typ", k.sign(map[string]any{"typ": "logout+jwt"}, good)},
		{"1 MB", k.sign(nil, with(func(c map[string]any) { c["pad"] = strings.Repeat("x", 1<<20) }))},
	}
}
