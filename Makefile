# What one can do here. `make` alone lists it.

.DEFAULT_GOAL := help
.PHONY: help demo demo-kafka test bench soak fuzz clean

help:
	@echo 'make demo    install what is missing, build, replay a stream, serve it on http://127.0.0.1:8080/'
	@echo '             DATA=PATH    replay this event log instead of the sample and the generated world'
	@echo '             LISTEN=A:P   another address (beyond loopback FRESHET_TOKEN must be set, and POST needs it)'
	@echo 'make demo-kafka   the whole chain: a Kafka broker, a producer, the pipeline, Redis, a feed server'
	@echo 'make test    install what is missing, check the format, lint, run all tests'
	@echo 'make bench   measure, and print the conditions (some minutes); ARGS=--help says what can be measured'
	@echo 'make soak    load, and kills of everything by a seeded schedule, then quiet; prints memory (SOAK_MINUTES=40 SOAK_SEED=1'
	@echo '             SOAK_PROCESSES=1); fails where a byte differs from a run that nobody interrupted, a record is not counted once,'
	@echo '             or a reader sees a list go back'
	@echo 'make fuzz    fuzz what comes from outside, with nightly Rust (FUZZ_SECONDS=60 for each target)'
	@echo 'make clean   remove target/ and data/demo*'

demo:
	@sh scripts/demo.sh

demo-kafka:
	@sh scripts/demo-kafka.sh

test:
	@sh scripts/test.sh

bench:
	@sh scripts/bench.sh $(ARGS)

soak:
	@sh scripts/soak.sh

fuzz:
	@sh scripts/fuzz.sh

clean:
	rm -rf target data/demo data/demo-*
