"""What a command prints before it fails, as the tools print it, and what they sum up when it does not.

The texts are made up in the tools' own wording. `{n}` is a number of 1 to 40, `{s}` are seconds with two digits, `{c}`
percent of coverage.
"""

from __future__ import annotations

from random import Random

from .world import Row

ESC = "\x1b"
RED, GREEN, YELLOW, BOLD, PLAIN = f"{ESC}[31m", f"{ESC}[32m", f"{ESC}[33m", f"{ESC}[1m", f"{ESC}[0m"

FAILURES: dict[str, tuple[str, ...]] = {
    "pytest": (
        "=================================== FAILURES ===================================",
        "_________________________________ test_total ___________________________________",
        "    def test_total():",
        ">       assert total(cart) == 42",
        "E       assert 41 == 42",
        "E        +  where 41 = total(<Cart of {n} items>)",
        "tests/test_checkout.py:{n}: AssertionError",
        "=========================== short test summary info ============================",
        "FAILED tests/test_checkout.py::test_total - assert 41 == 42",
        f"{RED}============ {BOLD}1 failed{PLAIN}, 41{{n}} passed, 3 skipped in {{s}}s ============{PLAIN}",
    ),
    "jest": (
        f"{RED}{BOLD}FAIL{PLAIN} browser/checkout.test.ts ({{s}} s)",
        "  ● checkout › adds a gift card",
        "    expect(received).toBe(expected) // Object.is equality",
        f"    Expected: {GREEN}42{PLAIN}",
        f"    Received: {RED}41{PLAIN}",
        "      at Object.<anonymous> (browser/checkout.test.ts:{n}:27)",
        "Test Suites: 1 failed, 1{n} passed, 2{n} total",
        "Tests:       1 failed, 2 skipped, 41{n} passed, 41{n} total",
        "Time:        {s} s",
    ),
    "rspec": (
        "Failures:",
        "",
        "  1) Checkout#total adds a gift card",
        f"     {RED}Failure/Error: expect(checkout.total).to eq(42){PLAIN}",
        f"     {RED}  expected: 42{PLAIN}",
        f"     {RED}       got: 41{PLAIN}",
        "     # ./spec/models/checkout_spec.rb:{n}:in `block (3 levels) in <top (required)>'",
        "Finished in {s} seconds (files took 2.81 seconds to load)",
        f"{RED}31{{n}} examples, 1 failure, 2 pending{PLAIN}",
        f"{RED}rspec ./spec/models/checkout_spec.rb:{{n}}{PLAIN} # Checkout#total adds a gift card",
    ),
    "go": (
        "=== RUN   TestTotal",
        "    checkout_test.go:{n}: total = 41, want 42",
        "--- FAIL: TestTotal ({s}s)",
        "FAIL",
        "FAIL\tgithub.com/acme/shop/checkout\t{s}s",
        "ok  \tgithub.com/acme/shop/cart\t{s}s\tcoverage: {c}.4% of statements",
    ),
    "maven": (
        "[ERROR] Tests run: 4{n}, Failures: 1, Errors: 0, Skipped: 2, Time elapsed: {s} s <<< FAILURE! -- CheckoutTest",
        "[ERROR]   CheckoutTest.total:{n} expected: <42> but was: <41>",
        "[INFO] BUILD FAILURE",
        "[ERROR] Failed to execute goal org.apache.maven.plugins:maven-surefire-plugin:3.2.5:test (default-test)",
    ),
    "cargo": (
        f"{RED}{BOLD}error[E0308]{PLAIN}{BOLD}: mismatched types{PLAIN}",
        "   --> src/checkout.rs:{n}:18",
        "    |",
        "{n}  |     let total: u64 = cart.total();",
        "    |                ---   ^^^^^^^^^^^^ expected `u64`, found `i64`",
        f"{RED}{BOLD}error{PLAIN}: could not compile `shop` (lib) due to 1 previous error",
    ),
    "compiler": (
        "[ 8{n}%] Building CXX object src/CMakeFiles/engine.dir/index.cpp.o",
        f"{BOLD}src/index.cpp:{{n}}:13: {RED}error: {PLAIN}‘total’ was not declared in this scope",
        "make[2]: *** [src/CMakeFiles/engine.dir/build.make:{n}: src/CMakeFiles/engine.dir/index.cpp.o] Error 1",
        "make: *** [Makefile:14{n}: all] Error 2",
    ),
    "bazel": (
        f"{RED}{BOLD}ERROR: {PLAIN}/srv/engine/BUILD:{{n}}:11: Compiling src/index.cc failed: (Exit 1): gcc failed",
        f"{RED}{BOLD}FAILED: {PLAIN}Build did NOT complete successfully",
        "INFO: Elapsed time: {s}s, Critical Path: 9.71s",
        "INFO: 1{n} processes: 9 internal, {n} linux-sandbox.",
    ),
    "npm": (
        "npm ERR! code ERESOLVE",
        "npm ERR! ERESOLVE unable to resolve dependency tree",
        "npm ERR! Found: react@18.{n}.0",
        "npm ERR! A complete log of this run can be found in: /var/lib/npm/_logs/2026-09-30T10_11_12_345Z-debug-0.log",
    ),
    "audit": (
        "lodash  <4.17.21",
        f"Severity: {RED}critical{PLAIN}",
        "{n} vulnerabilities (3 moderate, 1 critical)",
        "npm ERR! code ELIFECYCLE",
    ),
    "oom": (
        "[{n}/312] Linking sanitized_index",
        "/bin/bash: line 1:  41{n} Killed                  bin/sanitize --jobs 16",
        "Memory cgroup out of memory: Killed process 41{n} (sanitized_index) total-vm:16777216kB",
    ),
    "segfault": (
        "==41{n}==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000{n} (pc 0x55d0c0ffee{n})",
        "Segmentation fault (core dumped)",
    ),
    "traceback": (
        "Traceback (most recent call last):",
        '  File "/srv/shop/bin/main.py", line {n}, in <module>',
        "    main()",
        '  File "/srv/shop/index.py", line 1{n}, in main',
        "    return pages[number]",
        "KeyError: 'page {n}'",
    ),
    "docker": (
        "Step {n}/41 : RUN apt-get install -y libpq-dev",
        "E: Unable to locate package libpq-dev",
        "The command '/bin/sh -c apt-get install -y libpq-dev' returned a non-zero code: 100",
        "Error response from daemon: toomanyrequests: You have reached your pull rate limit.",
    ),
    "network": (
        "curl: (28) Operation timed out after 30001 milliseconds with 0 bytes received",
        f"{YELLOW}Retrying in {{n}} seconds{PLAIN}",
        "curl: (6) Could not resolve host: registry.acme.example",
        "dial tcp 192.0.2.{n}:443: connect: connection refused",
    ),
    "git": (
        "error: RPC failed; curl 56 GnuTLS recv error (-54): Error in the pull function.",
        "fatal: early EOF",
        "fatal: unable to access 'https://git.acme.example/shop.git/': Could not resolve host: git.acme.example",
    ),
    "timeout": (
        "Error: deadline exceeded: context deadline exceeded after {s}s",
        'error: deployment "web" exceeded its progress deadline',
    ),
}
"""By tool or cause."""

SUMS: dict[str, tuple[str, ...]] = {
    "pytest": (
        "---------- coverage: platform linux, python 3.12.4-final-0 -----------",
        "Name                      Stmts   Miss  Cover",
        "shop/cart.py                 {n}      3    91%",
        "TOTAL                      4812    601    {c}%",
        f"{GREEN}============ {BOLD}41{{n}} passed{PLAIN}, 3 skipped in {{s}}s ============{PLAIN}",
    ),
    "jest": (
        "All files |   {c}.42 |    81.05 |   90.11 |   {c}.39 |",
        "Tests:       2 skipped, 41{n} passed, 41{n} total",
        "Time:        {s} s",
    ),
    "rspec": (
        "Finished in {s} seconds (files took 2.81 seconds to load)",
        "31{n} examples, 0 failures, 2 pending",
        "Coverage report generated for RSpec to /srv/shop/coverage. 8123 / 9301 LOC ({c}.33%) covered.",
    ),
    "go": ("ok  \tgithub.com/acme/shop/checkout\t{s}s\tcoverage: {c}.4% of statements",),
    "maven": ("[INFO] Tests run: 4{n}, Failures: 0, Errors: 0, Skipped: 2", "[INFO] BUILD SUCCESS"),
    "cargo": ("    Finished `release` profile [optimized] target(s) in {s}s",),
    "compiler": ("[100%] Built target engine",),
    "bazel": (
        "INFO: Elapsed time: {s}s, Critical Path: 9.71s",
        "INFO: Build completed successfully, {n} total actions",
    ),
}
"""What a tool says when all went well."""

COVERED = SUMS["pytest"][:4]
"""Printed before the failures as well."""

TOOLS = {
    "bin/rspec": ("rspec",),
    "rake spec": ("rspec",),
    "bin/browser": ("jest",),
    "make unit": ("pytest", "go", "maven", "jest", "cargo"),
    "make": ("compiler", "bazel", "cargo"),
}
"""What a command runs: one of these, the same in every job of a pipeline."""

CAUSES = {
    "bin/audit": ("audit", "npm", "network", "git"),
    "bin/deploy": ("timeout", "network", "docker"),
    "make it": ("compiler", "cargo", "network", "docker", "git", "traceback", "npm", "segfault"),
}
ANY = ("compiler", "cargo", "bazel", "npm", "git", "network", "docker", "segfault", "traceback")
BY_STATUS = {137: "oom", 139: "segfault", 2: "pytest"}


def tool(job: Row) -> str | None:
    """What the job's command runs, if it is a tool that sums up."""
    names = TOOLS.get(job["command"] or "")
    return Random(f"{job['_build']['pipeline']['id']} {job['command']}").choice(names) if names else None  # noqa: S311


def said(job: Row, random: Random) -> list[str]:
    """The last words of a command that ran to its end, well or not."""
    runs, status = tool(job), job["exit_status"]
    if job["state"] == "passed":
        return _filled(SUMS.get(runs or "", ()), random)
    cause = "oom" if status == 137 else runs or BY_STATUS.get(status)
    cause = cause or random.choice(CAUSES.get(job["command"] or "", ANY))
    return _filled((*(COVERED if cause == "pytest" else ()), *FAILURES[cause]), random)


def _filled(lines: tuple[str, ...], random: Random) -> list[str]:
    covered = random.randint(84, 91)
    return [line.format(n=random.randint(1, 40), s=f"{random.uniform(1, 90):.2f}", c=covered) for line in lines]
