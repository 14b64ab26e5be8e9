# Verbs in front of Meson. `make` builds the library and the programs in build/, optimised; the rest is
# for working on it. Nothing here decides how anything is compiled: that is meson.build's.

FUZZ_SECONDS ?= 60
C_FILES = find src include python tests fuzz bench tools -name '*.[ch]' | sort

all: build/build.ninja
	ninja -C build programs

help:
	@echo 'make            the library and the programs in build/, optimised'
	@echo 'make test       all tests of the optimised build'
	@echo 'make asan       the same under AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make tsan       what has threads, under ThreadSanitizer'
	@echo 'make fuzz       each fuzz target for FUZZ_SECONDS=60'
	@echo 'make layers     rooms, taste and names that documents use'
	@echo 'make tidy       clang-tidy'
	@echo 'make fmt        clang-format, in place; make fmt-check: only look'
	@echo 'make bench      each kernel at each level; with CORPUS=FILE the whole program too'
	@echo 'make bench-pool what a killed worker costs; wants TEXTS=FILE'
	@echo 'make bench-peers  vecmill and its peers in turn; more options in PEERS'
	@echo 'make install    program, library, header, pkg-config file'
	@echo 'make clean      removes every build folder'
	@echo './check         what every change must pass; ./check --long: all there is'

build/build.ninja:
	meson setup build

build-asan/build.ninja:
	CC=clang meson setup build-asan --buildtype=debugoptimized -Dwerror=true \
	    -Db_sanitize=address,undefined -Db_lundef=false

build-fuzz/build.ninja:
	CC=clang meson setup build-fuzz --buildtype=debugoptimized -Dlibfuzzer=true \
	    -Db_sanitize=address,undefined -Db_lundef=false

# All tests, optimised; those that need a model want VECMILL_TEST_MODEL or a pulled default model.
test: build/build.ninja
	ninja -C build
	meson test -C build --no-rebuild --print-errorlogs

# The same under AddressSanitizer and UndefinedBehaviorSanitizer.
asan: build-asan/build.ninja
	ninja -C build-asan
	meson test -C build-asan --no-rebuild --print-errorlogs

# What has threads, under ThreadSanitizer.
tsan:
	tools/check-tsan

# Each kernel at each level; with CORPUS=FILE (.jsonl, .txt, .csv) the whole program on it too.
bench: all
	ninja -C build bench/bench_kern
	build/bench/bench_kern
	[ -z "$(CORPUS)" ] || build/vecmill bench -i "$(CORPUS)" --repeat 3

# What a killed worker and supervision cost: with TEXTS=FILE, a document a line, and the default model.
bench-pool: all
	ninja -C build bench/bench_pool
	build/bench/bench_pool recovery "$$(build/vecmill pull all-MiniLM-L6-v2)" "$(TEXTS)" 2 500
	build/bench/bench_pool supervision "$$(build/vecmill pull all-MiniLM-L6-v2)" "$(TEXTS)" 3

# vecmill and its peers in turn on the same texts: docs/BENCH.md. PEERS holds more options, --quick for one.
bench-peers: all
	python3 bench/compare/compare.py $(PEERS)

# Each fuzz target for FUZZ_SECONDS, from its corpus; what it finds new stays in build-fuzz/grown.
fuzz: build-fuzz/build.ninja
	ninja -C build-fuzz
	for program in build-fuzz/fuzz/fuzz_*; do \
	    [ -f "$$program" ] || continue; \
	    name=$${program##*/fuzz_}; mkdir -p build-fuzz/grown/$$name; echo "== $$name"; \
	    $$program -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=1024 -verbosity=0 \
	        -print_final_stats=1 -artifact_prefix=build-fuzz/ build-fuzz/grown/$$name \
	        fuzz/corpus/$$name || exit 1; \
	done

fmt:
	$(C_FILES) | xargs clang-format -i

fmt-check:
	$(C_FILES) | xargs clang-format --dry-run -Werror

layers:
	python3 tools/check_layers.py
	python3 tools/check_taste.py
	python3 tools/check_names.py

# As ./check does. Without --quick the analyzer runs as well, for minutes.
tidy: build/build.ninja
	python3 tools/check_tidy.py --quick build

install: all
	meson install -C build --no-rebuild

clean:
	rm -rf build build-asan build-asan-kernels build-engines build-fuzz build-python build-tsan

.PHONY: all help test asan tsan bench bench-pool bench-peers fuzz fmt fmt-check layers tidy install clean
