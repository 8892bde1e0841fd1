package main

// level says how bad a finding is.
type level string

// The levels.
const (
	levelBreaks level = "breaks" // tokens that should verify do not, or would not
	levelWarns  level = "warns"  // one step from there, or what nobody would want
	levelNotes  level = "notes"  // to be known
)

// code names what was found. The list is closed, and docs/drill.md has it.
type code string

// The codes.
const (
	codeRegionDark      code = "region_dark"
	codeNoOtherRegion   code = "no_other_region"
	codeLossStart       code = "loss_start"
	codeLossRunning     code = "loss_running"
	codeKeyUnusable     code = "key_unusable"
	codeDiscoveryIssuer code = "discovery_issuer"
	codeURLDown         code = "url_down"
	codeCertificateBad  code = "certificate_invalid"
	codeCertificateSoon code = "certificate_soon"
	codeRegionSilent    code = "region_silent"
	codeMirrorsDiffer   code = "mirrors_differ"
	codeKeysDiffer      code = "keys_differ"
	codeKeySkipped      code = "key_skipped"
	codeDiscoveryDown   code = "discovery_down"
	codeDiscoveryBad    code = "discovery_unusable"
	codeIssuerNotServed code = "issuer_not_served"
	codeSlow            code = "slow"
	codeNotDrilled      code = "not_drilled"
	codeNotEnabled      code = "not_enabled"
	codeKidShared       code = "kid_shared"
	codeSnapshotNeeded  code = "snapshot_needed"
	codeSharedHost      code = "shared_host"
	codeDiscoveryOther  code = "discovery_other_issuer"
	codeKeysElsewhere   code = "keys_elsewhere"
	codeNoTokenEndpoint code = "no_token_endpoint" //nolint:gosec // no credential
)

// meaning is what a code says, and what to do about it: one sentence each.
type meaning struct {
	level   level
	says    string
	measure string
}

var meanings = map[code]meaning{
	codeRegionDark: {
		levelBreaks, "No URL of the region gives keys that a verifier would use.",
		"See which class of failure each of its URLs has, mend that first, and run the drill again.",
	},
	codeNoOtherRegion: {
		levelBreaks, "There is one region only, so its loss leaves nothing to fail over to.",
		"Name the replica (-replica), or the other region (-issuer), or add one.",
	},
	codeLossStart: {
		levelBreaks, "With the region lost, a service that starts without a snapshot cannot verify these tokens.",
		"Publish the keys outside of the region, too, or let the services keep snapshots (jwks.Config.Snapshots): -snapshots.",
	},
	codeLossRunning: {
		levelBreaks, "With the region lost, a service that got every key set while it was there cannot verify these tokens.",
		"Find which mirror lists the key, and have one outside of the region, or the preferred one, publish it, too.",
	},
	codeKeyUnusable: {
		levelBreaks, "A mirror lists the key, and yet a verifier refuses tokens that are signed with it, with every region up.",
		"Have all mirrors of the region publish the same document, and no two different keys under one kid.",
	},
	codeDiscoveryIssuer: {
		levelBreaks, "The discovery document names another issuer than the one that is configured.",
		"See which iss tokens really carry (regionjwt inspect), and correct the provider, or the configuration of every service.",
	},
	codeURLDown: {
		levelWarns, "The URL gives no usable key set.",
		"Ask it from where the services run; until it answers, the region hangs on its other mirrors, or on nothing.",
	},
	codeCertificateBad: {
		levelWarns, "The certificate of the host is not trusted, so no verifier reads what it says.",
		"Renew or replace the certificate; if it is of a private authority, name that with -ca here and in the services' client.",
	},
	codeCertificateSoon: {
		levelWarns, "The certificate of the host ends within the time that -certificate-days sets.",
		"Renew it, and find out why that has not happened by itself.",
	},
	codeRegionSilent: {
		levelWarns, "No host of the region itself gives keys; what a verifier has of it comes from another region's mirror.",
		"Mend the region, or activate the replica, before you count on it: the mirror would be lost with the other region.",
	},
	codeMirrorsDiffer: {
		levelWarns, "A mirror of the region lacks keys that another one lists, though mirrors are to publish the same document.",
		"Wait out a rotation and run the drill again; if it stays, they are not mirrors, and should not be listed as such.",
	},
	codeKeysDiffer: {
		levelWarns, "Two regions that mint the same issuer do not list the same keys.",
		"It is meant where each region signs with keys of its own; else wait out a rotation, and see whether replication works.",
	},
	codeKeySkipped: {
		levelWarns, "The key set holds a key that verifiers skip: tokens that are signed with it are refused.",
		"See what is odd about the key at that place, counted from 0, and replace it if it signs tokens.",
	},
	codeDiscoveryDown: {
		levelWarns, "The discovery document cannot be had.",
		"Ask it from where the services run; those whose JWKS URLs are configured do not need it, other clients do.",
	},
	codeDiscoveryBad: {
		levelWarns, "The discovery document names no jwks_uri that a verifier may fetch from.",
		"Have it name one that begins with https, of 2,048 octets at most, " +
			"and not on localhost, a loopback or a link-local address.",
	},
	codeIssuerNotServed: {
		levelWarns, "No host answers for an issuer that is configured: 403 or 404, and no other issuer's document is good.",
		"Check the pool ID, or the provider's path, and -issuer-type: the updated mode's host has no pools of the original mode.",
	},
	codeSlow: {
		levelWarns, "The answer took longer than the 2 s that a verifier gives a mirror while another is untried.",
		"Run the drill again; if it stays, prefer another mirror.",
	},
	codeNotDrilled: {
		levelWarns, "The region has no host of its own, so the drill could not lose it.",
		"List a URL of its own for each region (-jwks), if there is one.",
	},
	codeNotEnabled: {
		levelNotes, "The URL says 403 or 404, and another of the region works: it is not enabled here, which is no outage.",
		"Nothing, if the pool is not (yet) in the mode that this host serves.",
	},
	codeKidShared: {
		levelNotes, "Two regions list different keys under one kid.",
		"Nothing for this library, which tries both; other verifiers may not.",
	},
	codeSnapshotNeeded: {
		levelNotes, "With the region lost, a service that starts has these keys from its snapshot only.",
		"Make sure that the snapshots are on a volume that outlives the process, and younger than MaxStale.",
	},
	codeSharedHost: {
		levelNotes, "Several regions prefer the host, so the drill loses it with none of them.",
		"Find out by other means which region answers behind the name, and what happens when that one is gone.",
	},
	codeDiscoveryOther: {
		levelNotes, "The discovery document names another issuer of this authority, which tokens that are minted there carry.",
		"Nothing for verifiers that list both.",
	},
	codeKeysElsewhere: {
		levelNotes, "The discovery document names a jwks_uri that is none of the URLs of the regions.",
		"Compare the two, and list it as a mirror if services should use it.",
	},
	codeNoTokenEndpoint: {
		levelNotes, "The discovery document names no token endpoint.",
		"Nothing for verifiers; machine clients need another way to find it.",
	},
}

// finding is one thing that was found.
type finding struct {
	Level   level    `json:"level"`
	Code    code     `json:"code"`
	Region  string   `json:"region,omitempty"` // where it is, or which is lost
	Issuer  string   `json:"issuer,omitempty"`
	URL     string   `json:"url,omitempty"`
	Host    string   `json:"host,omitempty"`
	Keys    []string `json:"kids,omitempty"`
	Detail  string   `json:"detail,omitempty"`
	Meaning string   `json:"meaning"`
	Measure string   `json:"measure"`
}

// maxKids is how many kids a finding names.
const maxKids = 10

// found notes a finding of a code, unless it is there.
func (r *drillReport) found(c code, f finding) {
	m := meanings[c]
	f.Code, f.Level, f.Meaning, f.Measure = c, m.level, m.says, m.measure
	if len(f.Keys) > maxKids {
		f.Keys = f.Keys[:maxKids]
	}
	for _, other := range r.Findings {
		same := other.Region == f.Region && other.Issuer == f.Issuer && other.URL == f.URL && other.Host == f.Host
		if same && other.Code == c && other.Detail == f.Detail {
			return
		}
	}
	r.Findings = append(r.Findings, f)
}
