package check

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// sortedKeys lists the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// clip is a text of a server, short enough for a line.
func clip(text string) string {
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "..."
	}
	return text
}

// missingFrom are those of one list that another has not.
func missingFrom(all, some []listedKey) []listedKey {
	var missing []listedKey
	for _, k := range all {
		if !slices.Contains(some, k) {
			missing = append(missing, k)
		}
	}
	return missing
}

func kidsOf(keys []listedKey) (kids []string) {
	for _, k := range keys {
		if !slices.Contains(kids, k.ID) {
			kids = append(kids, k.ID)
		}
	}
	return kids
}

// keysOf lists the keys of a region, whichever URL lists them.
func (d *drill) keysOf(region string) (keys []listedKey) {
	for _, s := range d.sets {
		if s.Region == region {
			keys = append(keys, missingFrom(s.Keys, keys)...)
		}
	}
	return keys
}

// compareKeys compares the JWKS URLs of each region, and the regions.
func (d *drill) compareKeys(r *drillReport) {
	for _, region := range d.provider.Regions {
		if len(region.JWKSURLs) == 0 {
			continue // its key sets are not the same document
		}
		all := d.keysOf(region.Name)
		for _, s := range d.sets {
			if missing := missingFrom(all, s.Keys); s.Region == region.Name && s.State == urlGood && len(missing) > 0 {
				r.found(codeKeysInconsistent, finding{
					Region: region.Name, URL: s.URL, Keys: kidsOf(missing), Detail: count(missing) + " missing",
				})
			}
		}
	}
	for i, a := range d.provider.Regions {
		for _, b := range d.provider.Regions[i+1:] {
			if d.works(a.Name) && d.works(b.Name) {
				d.comparePair(r, a.Name, b.Name, shared(a.Issuers, b.Issuers))
			}
		}
	}
}

func shared(a, b []string) (both []string) {
	for _, iss := range a {
		if slices.Contains(b, iss) {
			both = append(both, iss)
		}
	}
	return both
}

func count(keys []listedKey) string {
	if len(keys) == 1 {
		return "1 key"
	}
	return fmt.Sprintf("%d keys", len(keys))
}

// comparePair compares the keys of two regions that issue tokens of the same issuers, if any.
func (d *drill) comparePair(r *drillReport, a, b string, issuers []string) {
	keysA, keysB := d.keysOf(a), d.keysOf(b)
	onlyA, onlyB := missingFrom(keysA, keysB), missingFrom(keysB, keysA)
	var conflicts []listedKey
	for _, k := range keysA {
		if slices.ContainsFunc(onlyB, func(o listedKey) bool { return o.ID == k.ID }) && slices.Contains(onlyA, k) {
			conflicts = append(conflicts, k)
		}
	}
	regions := a + ", " + b
	if len(conflicts) > 0 {
		r.found(codeKidReused, finding{Region: regions, Keys: kidsOf(conflicts)})
	}
	if len(issuers) > 0 && len(onlyA)+len(onlyB) > 0 {
		r.found(codeKeysDiffer, finding{
			Region: regions, Issuer: strings.Join(issuers, ", "), Keys: kidsOf(append(slices.Clone(onlyA), onlyB...)),
			Detail: fmt.Sprintf("%s in %s only, %s in %s only", count(onlyA), a, count(onlyB), b),
		})
	}
}

// loseAll asks the library, first with all regions up, then with each lost.
func (d *drill) loseAll(ctx context.Context, r *drillReport, owners map[string][]string) {
	pairs := d.pairs()
	now, err := d.starts(ctx, pairs, nil)
	if err == nil {
		r.Losses, err = d.lose(ctx, pairs, owners)
	}
	if err != nil { // the configuration was checked before
		r.reached = false
		return
	}
	for _, p := range pairs {
		if !isMissing(now, p) {
			r.Accepts = append(r.Accepts, p)
		}
	}
	d.tellMissing(r, codeKeyUnusable, "", now)
	if len(d.provider.Regions) == 1 {
		return // there is nothing that could be left
	}
	atStart := codeLossStart
	if d.snapshots {
		atStart = codeSnapshotNeeded
	}
	for _, l := range r.Losses {
		already := func(m missingKey) bool { return isMissing(now, m.acceptedKey) }
		start := slices.DeleteFunc(slices.Clone(l.Start), already)
		running := slices.DeleteFunc(slices.Clone(l.Running), already)
		d.tellMissing(r, atStart, l.Region, start)
		d.tellMissing(r, codeLossRunning, l.Region, running)
	}
}

func isMissing(lost []missingKey, p acceptedKey) bool {
	return slices.ContainsFunc(lost, func(m missingKey) bool { return m.Issuer == p.Issuer && m.listedKey == p.listedKey })
}

// tellMissing notes the keys that a verifier misses, for each issuer: those that are the lost region's own, and those that sign
// tokens of regions which are left.
func (d *drill) tellMissing(r *drillReport, c code, lost string, keys []missingKey) {
	for _, doc := range d.documents {
		var own, left []listedKey
		answer := ""
		for _, m := range keys {
			switch {
			case m.Issuer != doc.Issuer:
				continue
			case slices.Equal(m.Regions, []string{lost}):
				own = append(own, m.listedKey)
			default:
				left = append(left, m.listedKey)
			}
			answer = m.Answer
		}
		at := finding{Region: lost, Issuer: doc.Issuer}
		if len(own) > 0 {
			at.Keys, at.Detail = kidsOf(own), count(own)+" of tokens that it issued before, answered "+answer
			r.found(c, at)
		}
		if len(left) > 0 {
			at.Keys, at.Detail = kidsOf(left), count(left)+" of tokens that other regions issue, too, answered "+answer
			r.found(c, at)
		}
	}
}
