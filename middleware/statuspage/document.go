package statuspage

import "time"

// Document is what /status.json answers. Names that are here stay; others may come. Times are those of RFC 3339, in UTC, and
// are left out where there is none; durations are whole seconds.
//
// An answer holds up to 200 authorities, those in trouble first. With "?authority=ID" it holds that one, or there is none and
// the status is 404. With "?after=ID" it holds those whose ID is greater, in the order of their IDs; "?after=" begins, and Next
// tells how to go on.
type Document struct {
	Title string    `json:"title"`
	Time  time.Time `json:"time"`  // when this was so
	Ready bool      `json:"ready"` // what /health answers

	Total    int `json:"total"`     // authorities
	NotReady int `json:"not_ready"` // of them, those without usable keys
	Troubled int `json:"troubled"`  // of them, those with any Trouble

	Authorities []Authority `json:"authorities"`
	Omitted     int         `json:"omitted"`        // authorities that are not in this answer
	Next        string      `json:"next,omitempty"` // what to pass as "after" for the next ones; left out where there are none

	Rules  *RuleStatus `json:"rules,omitempty"`
	Events []Event     `json:"events"`           // the last ones, the latest first
	Missed int         `json:"missed,omitempty"` // events before them
}

// Authority is one authority.
type Authority struct {
	ID    string `json:"id"`
	Ready bool   `json:"ready"` // whether a region has usable keys, or no keys are shown

	// Trouble lists what is wrong: "not_ready", "region_unhealthy", "fetch_failing" (the last fetch of a key set failed),
	// "mirrors_differ" (a URL of a key set lacks keys that another one lists),
	// "orders_unknown" (what operators have said is not known), "store" (of the Controller; Failover.Trouble says what).
	Trouble []string `json:"trouble"`

	Failover *Failover `json:"failover,omitempty"` // where there is a Controller
	Regions  []Region  `json:"regions"`
}

// Failover is what a Controller says: see failover.State.
type Failover struct {
	Active     string    `json:"active"`
	Previous   string    `json:"previous,omitempty"`
	Generation uint64    `json:"generation"`
	Since      time.Time `json:"since,omitzero"`
	Cause      string    `json:"cause"`
	Manual     bool      `json:"manual"`
	Reason     string    `json:"reason,omitempty"`
	OrderKnown bool      `json:"order_known"`
	OrderEpoch uint64    `json:"order_epoch"`
	OrderAt    time.Time `json:"order_at,omitzero"`
	Confirmed  time.Time `json:"confirmed,omitzero"`
	Trouble    string    `json:"trouble,omitempty"`
}

// Region is one region of an authority.
type Region struct {
	Name    string `json:"name"`
	Healthy bool   `json:"healthy"` // what /health/{authority}/{region} answers

	// Why is where Healthy comes from: "evidence" of the Controller, "keys" (how their fetches went), or "unknown".
	Why    string `json:"why"`
	Active bool   `json:"active"` // false also where there is no Controller

	Health   string     `json:"health,omitempty"` // by the evidence: "healthy", "unhealthy", "unknown"
	Since    time.Time  `json:"since,omitzero"`   // when Health became so
	Held     time.Time  `json:"held,omitzero"`    // until when it is not entered by itself
	Evidence []Evidence `json:"evidence"`
	KeySets  []KeySet   `json:"key_sets"`
}

// Evidence is what one source says of a region: see failover.SourceState.
type Evidence struct {
	Source    string    `json:"source"`
	Health    string    `json:"health"`
	Failures  int       `json:"failures"`
	Successes int       `json:"successes"`
	Last      time.Time `json:"last,omitzero"`
}

// KeySet is one JWKS URL of a region: see jwks.Status.
type KeySet struct {
	Freshness   string    `json:"freshness"`        // "empty", "fresh", "stale", "expired", "not_enabled"
	Age         int64     `json:"age_seconds"`      // since the last good answer; 0 if there was none
	Keys        int       `json:"keys"`             // that it lists and that are in use
	KeyIDs      []string  `json:"key_ids"`          // the first 10, cut after 64 characters
	Ignored     int       `json:"ignored"`          // published keys that are not used
	Skipped     []Skipped `json:"skipped"`          // the first 10 of them
	Lacks       int       `json:"lacks,omitempty"`  // keys that it does not list, and another URL of the region does
	Source      string    `json:"source,omitempty"` // a URL without its query, or "snapshot"
	Failures    int       `json:"failures"`         // fetches failed in a row
	LastError   string    `json:"last_error,omitempty"`
	LastStatus  int       `json:"last_status,omitempty"` // where LastError is "status"
	NextRefresh int64     `json:"next_refresh_seconds"`  // 0 when due
}

// Skipped is a published key that is not used.
type Skipped struct {
	Key string `json:"key"` // its kid, cut after 64 characters, or its place in the set: "#3"
	Why string `json:"why"`
}

// RuleStatus says how the break-glass rules stand: see revocation.Status.
type RuleStatus struct {
	Known   bool   `json:"known"`
	Rules   int    `json:"rules"`
	Epoch   uint64 `json:"epoch"`
	Age     int64  `json:"age_seconds"` // since the store last answered; 0 where it never did, or there is none
	Trouble string `json:"trouble,omitempty"`
	Source  string `json:"source"`
}

// Event is a change, of what "about" names: "failover" or "rules". Only what applies to it is there.
type Event struct {
	Time      time.Time `json:"time"`
	About     string    `json:"about"`
	Authority string    `json:"authority,omitempty"`
	Kind      string    `json:"kind"` // see failover.Kind; "changed" of rules
	Region    string    `json:"region,omitempty"`
	From      string    `json:"from,omitempty"`
	Cause     string    `json:"cause,omitempty"`
	Health    string    `json:"health,omitempty"` // of Region, for "health_changed"
	Reason    string    `json:"reason,omitempty"` // of the operator, for "moved" and "pinned"
	Trouble   string    `json:"trouble,omitempty"`
	Rules     int       `json:"rules,omitempty"`
	Epoch     uint64    `json:"epoch,omitempty"`
	Source    string    `json:"source,omitempty"`
}
