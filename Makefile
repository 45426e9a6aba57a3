PYTHON ?= python3
VENV = .venv/bin

.PHONY: run test check bench demo setup setup-dev messages

run: setup          ## set everything up (once) and start Emend
	@exec $(VENV)/python scripts/serve.py

setup:
	@$(PYTHON) scripts/setup.py

setup-dev:
	@$(PYTHON) scripts/setup.py --dev --only-environment

test:               ## everything that the tests need, then the whole suite on SQLite and PostgreSQL
	@$(PYTHON) scripts/setup.py --dev --only-environment
	@exec $(VENV)/python scripts/test.py

check: setup-dev    ## lint, format, import contracts, types, templates, migrations, translations
	@exec $(VENV)/python scripts/check.py

bench:              ## speed, as ratios against something run in the same command
	@$(PYTHON) scripts/setup.py --dev --bench --only-environment
	@exec $(VENV)/python -m benchmarks

demo: setup         ## one cycle on the demo project, with an answer before and after
	@exec $(VENV)/python scripts/demo.py

messages: setup-dev ## collect the strings for translation (needs gettext)
	@$(VENV)/python manage.py makemessages --locale zh_Hans --no-location --no-obsolete
