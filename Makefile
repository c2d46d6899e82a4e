# Makefile: the few commands of this tree. Everything that is more than a line lives in a script that can be run by itself.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build deps test demo bench fuzz completions features install clean

PREFIX ?= /usr/local
DESTDIR ?=
SECONDS_PER_TARGET ?= 60
RELEASE := .build/release
PROGRAMS := sluiced sluicectl sluice-bench

help: ## list the targets
	@echo "Sluice: the data plane of one Linux node. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{ printf "%-20s %s\n", $$1, $$2 }'
	@echo "Start with: sudo make demo"

deps: ## install the system packages that a build and the tests need (only missing ones)
	@Packaging/deps.sh build test

build: ## build the release programs into .build/release
	@Packaging/deps.sh build
	@. Packaging/toolchain.sh && build_release

test: ## install what is needed and run everything: unit, sanitizer, fuzzing and integration tests
	@Tests/run.sh

demo: ## build, run real traffic through the switch between namespaces, and leave nothing behind
	@demo/demo.sh

bench: ## compare with OVS and DPDK on this machine (needs root, about 5 minutes)
	@Benchmarks/forward.sh && Benchmarks/veth.sh

fuzz: ## fuzz the parsers, SECONDS_PER_TARGET each (default 60)
	@Packaging/deps.sh build
	@. Packaging/toolchain.sh && Tests/Fuzz/run.sh $(SECONDS_PER_TARGET)

completions: ## write the shell completions of sluicectl into Packaging/completions
	@test -x $(RELEASE)/sluicectl || $(MAKE) --no-print-directory build
	@mkdir -p Packaging/completions
	@$(RELEASE)/sluicectl completion bash >Packaging/completions/sluicectl.bash
	@$(RELEASE)/sluicectl completion zsh >Packaging/completions/_sluicectl
	@$(RELEASE)/sluicectl completion fish >Packaging/completions/sluicectl.fish

features: ## write the table of features in README.md from features.yaml
	@Packaging/venv.sh && .venv/bin/python Packaging/features.py

install: ## install programs, unit, example configuration and completions under PREFIX (DESTDIR is honoured)
	@test -x $(RELEASE)/sluiced || { echo "nothing is built yet: run make build first" >&2; exit 1; }
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/doc/sluice
	install -d $(DESTDIR)/etc/sluice $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -s -m 0755 $(RELEASE)/sluiced $(DESTDIR)$(PREFIX)/sbin/sluiced
	install -s -m 0755 $(RELEASE)/sluicectl $(RELEASE)/sluice-bench $(DESTDIR)$(PREFIX)/bin/
	sed 's,/usr/sbin/,$(PREFIX)/sbin/,' Packaging/systemd/sluiced.service >$(DESTDIR)$(PREFIX)/lib/systemd/system/sluiced.service
	test -e $(DESTDIR)/etc/sluice/sluiced.yaml || install -m 0644 Packaging/sluiced.yaml $(DESTDIR)/etc/sluice/sluiced.yaml
	install -D -m 0644 Packaging/completions/sluicectl.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/sluicectl
	install -D -m 0644 Packaging/completions/_sluicectl $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_sluicectl
	install -D -m 0644 Packaging/completions/sluicectl.fish $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/sluicectl.fish
	install -m 0644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/sluice/

clean: ## remove everything that was built or downloaded
	rm -rf .build .venv .peers
