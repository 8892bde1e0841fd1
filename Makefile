# The gates of this repository. `make test` needs Go, make and git; `make test-all` needs node, npm, redis-server,
# nginx, caddy, python3-jwt and python3-authlib as well.

SHELL := /bin/bash
.DEFAULT_GOAL := help

GOLANGCI_VERSION := v2.15.0
TOOLS := $(CURDIR)/.tools
GOLANGCI := $(TOOLS)/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 10m
SIM_YEARS ?= 10
SIM_HISTORIES ?= 2000
PIN_HISTORIES ?= 10000
EXPLORE_SECONDS ?= 600

# The published modules whose tests need nothing but Go, the root first.
MODULES := . middleware/grpcauth observe/otel aws
# The published modules whose tests need a redis-server.
REDIS_MODULES := store/redisstore cmd/regionjwt
# The modules that nobody imports: e2e needs node and a redis-server.
PRIVATE_MODULES := bench e2e
ALL_MODULES := $(MODULES) $(REDIS_MODULES) $(PRIVATE_MODULES)

# The Go that runs tests with the race detector. Before Go 1.27 the detector itself crashes now and then: all timers of a synctest
# bubble share one of its contexts, which two threads may use at once. NEWEST_GO=local takes the Go that is installed.
NEWEST_GO ?= go1.27.4
# A module that needs a later Go than the one that is installed fetches it, also where images set GOTOOLCHAIN to local.
export GOTOOLCHAIN := $(if $(filter-out local,$(GOTOOLCHAIN)),$(GOTOOLCHAIN),auto)

# run-tests prints each module, and a line for each package as it ends.
define run-tests
@set -e; for m in $(1); do echo "== $$m: vet and test ($$SECONDS s)"; \
	(cd $$m && go vet ./... && GOTOOLCHAIN=$(NEWEST_GO) go test -race -shuffle=on ./...); done; \
	echo "== done ($$SECONDS s)"
endef

# Each fuzz target as directory:name.
FUZZ := ./internal/strictjson:FuzzParse ./internal/jose:FuzzAppendBase64 ./internal/jose:FuzzParseSet \
	./verifier:FuzzVerify ./internal/jose:FuzzNumericDate ./middleware/dpop:FuzzCheck ./middleware/dpop:FuzzURL \
	./verifier:FuzzActor ./revocation/sharedsignals:FuzzTranslate ./store/redisstore:FuzzReplies ./store/redisstore:FuzzFraming \
	./cmd/regionjwt/internal/serve/routes:FuzzPath ./cmd/regionjwt/internal/serve/routes:FuzzHeader

.PHONY: toolchains conformance help explore long soak spelling test test-rest test-all browser lint fmt fmt-check examples fuzz fuzz-keep sim sim-fleet outages mutate allocs bench cover tidy-check check instructions

include release.mk

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

test: ## the published modules that need only Go, with the race detector and in random order
	$(call run-tests,$(MODULES))

# The root's packages but two, which test releases and mutations, whatever the toolchain.
TOOLCHAIN_PACKAGES = $$(go list ./... | grep -v -e /internal/release -e /internal/mutate)

# FIPS 140-3 is tried with Go 1.27, as random numbers of module v1.26.0 cannot be made under the fake clock of Go 1.26, and with
# module v1.0.0, which has no ML-DSA.
toolchains: ## vet and short tests with Go 1.25 and 1.27, and with FIPS 140-3 enforced
	export GOTOOLCHAIN=go1.25.14 && go vet ./... && go test -short $(TOOLCHAIN_PACKAGES)
	export GOTOOLCHAIN=$(NEWEST_GO) && go vet ./... && GODEBUG=fips140=only go test -short $(TOOLCHAIN_PACKAGES) && \
		go test -short . ./internal/jose ./issuer/... ./jwks/... ./verifier ./middleware/...
	export GOTOOLCHAIN=$(NEWEST_GO) && (cd cmd/regionjwt && go test -run 'AnyAlgorithm|MLDSA' .) && \
		(cd e2e && go vet ./... && go test -run Wycheproof .)
	GOFIPS140=v1.0.0 GODEBUG=fips140=only go test -short ./internal/jose ./jwks ./verifier ./middleware/dpop

test-rest: ## the modules that make test leaves out: needs node 20, npm, redis-server 7, nginx, caddy and the Python packages of Debian
	@command -v node >/dev/null && command -v npm >/dev/null && command -v redis-server >/dev/null && command -v nginx >/dev/null && \
		command -v caddy >/dev/null && \
		/usr/bin/python3 -c 'import jwt, authlib' || { echo "make $@ needs node 20 or later, npm, redis-server 7 or later, nginx, caddy," \
		"python3-jwt and python3-authlib: install them and try again" >&2; exit 1; }
	$(call run-tests,$(REDIS_MODULES) $(PRIVATE_MODULES))

test-all: test test-rest ## the tests of every module

$(GOLANGCI):
	GOTOOLCHAIN=$(NEWEST_GO) GOBIN=$(TOOLS)/bin go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(TOOLS)/bin/golangci-lint $@

lint: $(GOLANGCI) ## the house rules
	@set -e; for m in $(ALL_MODULES); do echo "== $$m"; (cd $$m && $(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...); done

fmt: $(GOLANGCI) ## format the code
	@set -e; for m in $(ALL_MODULES); do (cd $$m && $(GOLANGCI) fmt --config $(CURDIR)/.golangci.yml ./...); done

fmt-check: $(GOLANGCI) ## fail where code is not formatted
	@set -e; for m in $(ALL_MODULES); do (cd $$m && $(GOLANGCI) fmt --config $(CURDIR)/.golangci.yml --diff ./...); done

tidy-check: ## fail where a go.mod is not tidy
	@set -e; for m in $(ALL_MODULES); do (cd $$m && go mod tidy -diff && go mod verify); done

examples: ## build every example, and run those that need no set-up
	go build -o /dev/null ./examples/httpserver
	go run ./examples/outage
	go run ./examples/failover-drill
	go run ./examples/agents
	cd e2e && go run ./examples/grpcserver
	cd e2e && go run ./examples/mcpserver

FUZZ_CACHE = $$(go env GOCACHE)/fuzz/github.com/regionjwt/regionjwt

fuzz: ## every fuzz target for FUZZTIME (10m), from the inputs of earlier runs; once more where go test fails without an input
	@mkdir -p "$(FUZZ_CACHE)" && tar -xzf bench/fuzz-inputs.tar.gz -C "$(FUZZ_CACHE)"
	@set -e; for f in $(FUZZ); do echo "== $$f for $(FUZZTIME)"; \
		run() { (cd "$${f%%:*}" && go test -run '^$$' -fuzz "^$${f#*:}$$" -fuzztime $(FUZZTIME) .); }; \
		run || { ! ls "$${f%%:*}"/testdata/fuzz/"$${f#*:}" 2>/dev/null && echo "no input was found: once more"; run; }; done

fuzz-keep: ## keep the inputs that fuzzing has found
	tar -c --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --mode=go-w -C "$(FUZZ_CACHE)" . | gzip -9n >bench/fuzz-inputs.tar.gz

browser: ## the status page in a real headless browser, both themes, phone width: needs chromium
	cd e2e && go vet -tags browser ./browser && go test -tags browser -count=1 ./browser

sim: ## simulate SIM_YEARS region-years (10) against the key engine; SIM_SEED reproduces a run
	SIM_YEARS=$(SIM_YEARS) go test -run '^TestSimulation$$' -timeout 0 -v ./jwks

sim-fleet: ## simulate SIM_HISTORIES fleets (2000) that revoke and PIN_HISTORIES (10000) that pin; SIM_SEED reproduces a run
	SIM_HISTORIES=$(SIM_HISTORIES) go test -run '^TestSimulation$$' -count=1 -timeout 0 -v ./revocation
	PIN_HISTORIES=$(PIN_HISTORIES) go test -run '^(TestFleetsThatPin|TestHistoriesOfPins)$$' -count=1 -timeout 0 -v ./failover

explore: ## every small history of the state of key sets, for EXPLORE_SECONDS (600)
	EXPLORE_SECONDS=$(EXPLORE_SECONDS) WALKS=$(EXPLORE_SECONDS) go test -run 'TestEveryHistory|TestRandomHistories' -timeout 0 -v \
		./jwks/internal/keystate

long: ## in full, the tests of thousands of issuers and hundreds of days, which make test runs small
	REGIONJWT_LONG_TESTS=1 go test -count=1 -run 'TestQuietTenantOfABusyHost|TestRateLimitedHost|TestMemoryOfTenThousandIssuers|TestKeyMissingFromAShareOfAnswers' ./jwks

soak: ## a service under load and faults for ten minutes: writes RESULTS.md and soak.svg in bench/soak
	cd bench/soak && go run . -minutes 10 -write

mutate: ## take out one rule after the other, and see a test fail each time (minutes)
	go run ./internal/mutate

outages: ## what this library and its peers do in the same outages: writes bench/OUTAGES.md (two minutes)
	cd bench && go run ./outages -write OUTAGES.md

conformance: ## 15 libraries in three languages through the corpus: writes conformance/RESULTS.md (half an hour)
	@command -v node >/dev/null && command -v npm >/dev/null && /usr/bin/python3 -c 'import jwt, authlib, jwcrypto' || \
		{ echo "make $@ needs node 20 or later, npm, python3-jwt, python3-authlib and python3-jwcrypto: install them and try again" >&2; exit 1; }
	cd bench/conformance/adapters/node && npm ci --no-audit --no-fund
	cd bench && go run ./conformance -all -write ../conformance/RESULTS.md

spelling: ## misspelled words in the documents
	go run github.com/golangci/misspell/cmd/misspell@v0.8.0 -error *.md docs/*.md bench/*.md bench/soak/*.md conformance/README.md examples/*.md

allocs: ## fail where a main path allocates more than is recorded; without the race detector, which allocates itself
	go test -run '^TestAllocations' ./verifier ./middleware/httpauth
	cd observe/otel && go test -run '^TestAllocations$$' .

instructions: ## fail where a main path executes more instructions than is recorded: needs valgrind
	cd bench && go run ./instructions

bench: ## this library and its peers, side by side: writes bench/RESULTS.md (half an hour)
	cd bench && go run ./report -write RESULTS.md

cover: ## statement coverage of the packages that decide
	go test -coverpkg=./internal/...,./verifier,./jwks,./issuer,./middleware/... -coverprofile=cover.out ./... >/dev/null
	go tool cover -func=cover.out | awk '$$3 != "100.0%"'

check: fmt-check tidy-check lint spelling api-check doc-check licence-check test allocs examples ## everything but make test-rest and long runs
