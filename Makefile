# The targets a contributor needs. Everything else is the go command.
GO ?= go
ROUNDS ?= 20
FUZZTIME ?= 20s
BENCHFLAGS ?=

.PHONY: check test race fuzz crash bench cross lint

check: lint test ## what CI runs before the race detector

test:
	$(GO) test ./...

race:
	$(GO) test -race ./...

lint:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "gofmt differs:"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	@if command -v golangci-lint >/dev/null 2>&1; then golangci-lint run; else echo "golangci-lint is not installed: skipped"; fi

cross: ## everything compiles where it is meant to run
	@for os in linux darwin; do for arch in amd64 arm64; do \
		echo "$$os/$$arch"; GOOS=$$os GOARCH=$$arch CGO_ENABLED=0 $(GO) build -o /dev/null ./... || exit 1; \
	done; done

fuzz: ## every fuzz target, FUZZTIME each
	@for pkg in $$($(GO) list ./...); do \
		for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
		done; \
	done

crash: ## kill real daemons at every failpoint and at random, ROUNDS times; damage stores as often; simulate
	cd robustness && MR_CRASH_ROUNDS=$(ROUNDS) $(GO) test -count=1 -timeout 60m -run 'TestCrash|TestRot|TestSpeculationPays'
	cd robustness && MR_CRASH_ROUNDS=1 $(GO) test -count=1 -timeout 20m -run 'TestEdits' .
	MR_SIM_SEEDS=100000 $(GO) test -count=1 -timeout 20m -run TestSimulation ./engine

bench: ## compare with the tools people would use instead; see bench/README.md
	$(GO) run ./bench/run $(BENCHFLAGS)
