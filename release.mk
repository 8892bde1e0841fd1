# What a release must pass. docs/releasing.md has the order; `make release-check` runs it all on a clean tree.

RELEASE := go run ./internal/release
VULN_VERSION := v1.9.0
GOVULNCHECK := $(TOOLS)/govulncheck-$(VULN_VERSION)
# The vulnerability database, or a mirror of it: https://... or file:///...
VULN_DB ?= https://vuln.go.dev
# The newest Go of each line from that of the root's go.mod on.
GO_VERSIONS ?= go1.25.14 go1.26.11 go1.27.4
# In the order of a release: cheap ones first.
RELEASE_STEPS := fmt-check tidy-check licence-check doc-check spelling api-check apidiff reproducible modules-check lint test allocs \
	examples oldest go-versions newest

.PHONY: api api-check apidiff licences licence-check doc-check oldest newest go-versions modules-check reproducible \
	vulncheck release-clean release-check prepare

api: ## list the exported API in api/
	$(RELEASE) api -write

api-check: ## fail where the exported API is not what api/ lists
	$(RELEASE) api

apidiff: ## fail where the API has changed incompatibly since the last tag
	$(RELEASE) apidiff

licences: ## list the licences of dependencies in docs/licences.md
	$(RELEASE) licences -write

licence-check: ## fail where a licence is unknown, asks too much of users, or is not listed
	$(RELEASE) licences

doc-check: ## fail if a package has no doc, a name no comment, or an Example no output
	$(RELEASE) examples

oldest: ## published modules with the Go version and the dependencies that their go.mod names
	$(RELEASE) oldest

newest: ## and with the newest dependencies there are
	$(RELEASE) newest

go-versions: ## the root module with each of GO_VERSIONS
	@failed=; for v in $(GO_VERSIONS); do echo "== $$v"; export GOTOOLCHAIN=$$v; \
		if ! go version; then failed+=" $$v (cannot be had)"; \
		elif ! { go vet ./... && go test -short -shuffle=on ./...; }; then failed+=" $$v"; fi; \
	done; \
	test -z "$$failed" || { echo "the root does not work, or is not tried, with:$$failed" >&2; exit 1; }

modules-check: ## every published module, as somebody who gets it by its path sees it
	@diff <(git ls-files 'go.mod' '*/go.mod' | xargs dirname | sort) <(printf '%s\n' $(ALL_MODULES) | sort) || \
		{ echo "the modules of the tree (<) are not those of the Makefile (>)" >&2; exit 1; }
	$(RELEASE) modules

reproducible: ## pack every published module twice, and print the hashes
	$(RELEASE) reproducible

$(GOVULNCHECK):
	GOBIN=$(TOOLS)/bin go install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv $(TOOLS)/bin/govulncheck $@

vulncheck: $(GOVULNCHECK) ## known vulnerabilities in what is called, by VULN_DB: error 3 where there are any, 4 where it cannot be asked
	@found=; unknown=; for m in $(ALL_MODULES); do echo "== $$m"; said=0; \
		(cd $$m && $(GOVULNCHECK) -db $(VULN_DB) ./...) || said=$$?; \
		case $$said in 0) ;; 3) found+=" $$m" ;; *) unknown+=" $$m" ;; esac; \
	done; \
	test -z "$$unknown" || echo "NOT CHECKED, see above:$$unknown. The database was $(VULN_DB): VULN_DB names a mirror" >&2; \
	test -z "$$found" || { echo "vulnerable:$$found" >&2; exit 3; }; \
	test -z "$$unknown" || exit 4

release-clean:
	@test -z "$$(git status --porcelain)" || { git status --short; echo "the tree has changes: commit them first" >&2; exit 1; }

release-check: release-clean ## everything that a release has to pass, and a summary
	@failed=0; summary=; for s in $(RELEASE_STEPS); do \
		echo "=== $$s"; began=$$SECONDS; said=passed; \
		$(MAKE) --no-print-directory $$s || { said=FAILED; failed=1; }; \
		summary+=$$(printf '%-16s %-7s %5d s' $$s $$said $$((SECONDS - began)))$$'\n'; \
	done; \
	echo "=== release of $$(git rev-parse HEAD)"; printf '%s' "$$summary"; \
	echo "not part of it, but of CI: test-rest browser fuzz sim vulncheck"; \
	$(MAKE) --no-print-directory release-clean || failed=1; \
	exit $$failed

prepare: release-clean ## edit every go.mod for the commit that is tagged VERSION
	$(RELEASE) prepare -version $(VERSION)
