# SPDX-License-Identifier: MIT
#
# A thin door to Meson and Ninja (scripts/build), for people whose fingers say make.
# `make help` lists what there is.

PREFIX  ?= /usr/local
VARIANT ?= plain
export PREFIX

.PHONY: all demo demo-user demo-probes check check-long bench fuzz install asan ubsan tsan cov format clean help

all: ## build the programs: build/vitrine*
	@scripts/build $(VARIANT)

demo: ## see a PC boot and what it did (gets the packages it needs)
	@scripts/install-deps build
	@scripts/build plain
	@scripts/demo

demo-user: ## see what a program of this machine does, under vitrine-user
	@scripts/install-deps build
	@scripts/build plain
	@scripts/demo-user

demo-probes: ## see probes in a program of one's own, five philosophers
	@scripts/install-deps build
	@scripts/build plain
	@scripts/demo-probes

check: ## every check and test, in its short form; ends with "N passed, N failed"
	@scripts/install-deps check
	@scripts/check

check-long: ## every check and test, in full
	@scripts/install-deps check
	@VITRINE_CHECK=long scripts/check

bench: ## measure: a table, build/bench.json and a plot
	@scripts/install-deps bench
	@scripts/build plain all benches
	@scripts/bench

fuzz: ## every fuzz target for ten minutes, or for FUZZ_TIME=SECONDS
	@scripts/install-deps check
	@FUZZ_TIME=$(or $(FUZZ_TIME),600) scripts/check fuzz

install: ## install below PREFIX (/usr/local); DESTDIR is put in front
	@scripts/build $(VARIANT)
	@scripts/build --install $(VARIANT)

asan: ## unit tests with AddressSanitizer and UndefinedBehaviorSanitizer
	@scripts/check unit-asan

ubsan: ## unit tests with UndefinedBehaviorSanitizer alone
	@scripts/check unit-ubsan

tsan: ## unit tests with ThreadSanitizer
	@scripts/check unit-tsan

cov: ## how much of the sources the tests run: a table, build-cov/coverage.txt
	@scripts/coverage

format: ## lay the sources out as .clang-format says
	@scripts/list-sources '*.[ch]' src include demo bench tests | xargs -r clang-format -i

clean: ## remove every build folder
	@rm -rf build build-*

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22
