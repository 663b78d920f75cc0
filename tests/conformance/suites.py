#!/usr/bin/env python3
"""Runs suites of iscsi-test-cu and counts honestly: a skipped test is not a passed one.

    suites.py FOLDER --setup TARGET,NAME,URL,URL2[,SUITE...] ... [SUITE...]

A setup is one unit of a target, with a second path to it or nothing, and the suites that it is for
(usually all; with a minus sign: all but these). A test counts as passed by a target if it passes in
one of its setups and fails in none.

The tool calls a test that printed [SKIPPED] "passed", and goes on for ever when the target drops
the connection; so its text is read here and each run has a limit. Exits 0 if the first target
passes everything but the tests named below.
"""

import fnmatch
import os
import pathlib
import re
import subprocess
import sys

# Tests that one unit cannot be asked for, each with the reason; the whole run asks another one.
MAY_SKIP = {
    "ReadOnly.ReadOnlySBC": "wants a write-protected unit; every other suite wants to write",
    "CompareAndWrite.InvalidDataOutSize": "wants a physical block of several logical ones",
}

# Tests of which one assertion is about the tool itself: if it is the only one that failed and the
# log holds these words, the test has passed.
TOOL_FAULTS = {
    "iSCSITMF.LUNResetSimpleAsync": (
        "CU_ASSERT_EQUAL(reconnect_succeeded,1)", "LU RESET completed",
        "looks at the variable that the answer's callback sets, before it waits for the answer"),
}

# Suites whose tests disturb each other. iSCSITMF: the first one ends the session that the next
# would use. Sanitize: Reservations drops a connection that holds RESERVE(6) without a logout, and
# Reset soon sends on another one a SANITIZE whose status it does not look at; which of the two
# the target sees first is up to the network.
ONE_BY_ONE = {"iSCSITMF", "Sanitize"}
KINDS = ("passed", "failed", "skipped")
# The suite that sanitizes the unit takes two minutes, a build with a sanitizer more.
SECONDS_PER_RUN = int(os.environ.get("COWTGT_SECONDS_PER_SUITE", "240"))
# Tests that return early without saying [SKIPPED].
SILENT_SKIPS = re.compile(
    r"SWP is not changeable|LUN is too big|CONTROL page was not returned|"
    r"Could not read BlockDeviceCharacteristics|BlockLimits VPD is not available")


def listed_tests():
    """{suite: [test]} of the family that has them all."""
    text = subprocess.run(["iscsi-test-cu", "-l"], capture_output=True, text=True).stdout
    suites = {}
    for parts in (line.split(".") for line in text.split()):
        if parts[0] == "ALL" and len(parts) == 3:
            suites.setdefault(parts[1], []).append(parts[2])
    return suites


def run(urls, folder, name):
    """The tool's output for one suite or test; what it printed so far when it hangs."""
    # Unbuffered, or a killed client takes its last words with it; in an empty folder, because a
    # file of the test's name would be taken for a list of tests.
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        subprocess.run(["timeout", "-k", "2", str(SECONDS_PER_RUN), "stdbuf", "-o0",
                        "iscsi-test-cu", "--dataloss", "--allow-sanitize",
                        "-V", "-t", f"ALL.{name}", *urls],
                       stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                       cwd=empty)
    return log.read_text(errors="replace")


def is_fault_of_the_tool(test, words):
    assertion, needed, _ = TOOL_FAULTS.get(test, (None, None, None))
    failed = re.findall(r"^ +\d+\. [^\n]*", words, flags=re.M)
    return assertion is not None and len(failed) == 1 and assertion in failed[0] \
        and needed in words


def verdicts(suite, text):
    """{test: (verdict, why)} from the text of a run."""
    found = {}
    # What follows "  Test: NAME ..." up to the next such line belongs to that test.
    for part in re.split(r"^  Test: ", text, flags=re.M)[1:]:
        name, _, words = part.partition(" ...")
        words = re.split(r"^(?:Suite: |Run Summary:)", words, flags=re.M)[0]
        why = " ".join(re.findall(r"\[(?:FAIL|FAILED|SKIPPED)\][^\n]*|^ +\d+\. [^\n]*", words,
                                  flags=re.M))
        if is_fault_of_the_tool(f"{suite}.{name}", words):
            found[name] = "passed", TOOL_FAULTS[f"{suite}.{name}"][2]
        elif re.search(r"(?<!\[)FAILED(?!\])", words):
            found[name] = "failed", why
        elif not re.search(r"passed", words):
            found[name] = "failed", "no verdict: it hung or ended the tool"
        elif re.search(r"\[SKIPPED\](?! No (?:alignment|granularity) restrictions)", words) \
                or SILENT_SKIPS.search(words):
            found[name] = "skipped", why
        else:
            found[name] = "passed", ""
    return found


def run_suite(urls, folder, suite, tests):
    if suite in ONE_BY_ONE:
        found = {}
        for test in tests:
            found.update(verdicts(suite, run(urls, folder, f"{suite}.{test}")))
    else:
        found = verdicts(suite, run(urls, folder, suite))
    return {test: found.get(test, ("failed", "it was not reached")) for test in tests}


def merged(old, new):
    """Of two setups: failed in one is failed, passed in one is passed."""
    return min(old, new, key=lambda result: ("failed", "passed", "skipped").index(result[0]))


def measure(setups, folder, wanted):
    """{target: {suite: {test: (verdict, why)}}} and {(target, setup): [verdict]}"""
    listed = listed_tests()
    results, by_setup = {}, {}
    for target, name, url, second_url, *only in setups:
        of_target = results.setdefault(target, {})
        of_setup = by_setup.setdefault((target, name), [])
        for suite, tests in listed.items():
            if not any(fnmatch.fnmatchcase(suite, pattern) for pattern in wanted or ["*"]):
                continue
            if f"-{suite}" in only or (only and only[0][0] != "-" and suite not in only):
                continue
            urls = [url, second_url] if suite == "MultipathIO" and second_url else [url]
            print(f"{target} {name}: {suite}", file=sys.stderr, flush=True)
            found = run_suite(urls, folder, suite, tests)
            known = of_target.setdefault(suite, {})
            of_setup.extend(verdict for verdict, _ in found.values())
            for test, (verdict, why) in found.items():
                result = verdict, f"on {name}: {why}" if why else ""
                known[test] = merged(known[test], result) if test in known else result
    return results, by_setup


def counted(verdicts_of_some):
    """"passed / failed / skipped" of a list of verdicts."""
    return " / ".join(str(verdicts_of_some.count(kind)) for kind in KINDS)


def main():
    folder = pathlib.Path(sys.argv[1])
    setups, wanted = [], []
    words = iter(sys.argv[2:])
    for word in words:
        if word == "--setup":
            setups.append(next(words).split(","))
        else:
            wanted.append(word)
    results, by_setup = measure(setups, folder, wanted)
    first = next(iter(results))
    if not results[first]:
        sys.exit("iscsi-test-cu lists no such suite")
    print(f"{'passed / failed / skipped':26}" + "".join(f"{target:>18}" for target in results))
    for suite in results[first]:
        print(f"{suite:26}" + "".join(
            f"{counted([verdict for verdict, _ in of.get(suite, {}).values()]):>18}"
            for of in results.values()))
    print()
    for target, name in by_setup:
        print(f"{target + ', ' + name:26}{counted(by_setup[target, name]):>18}")
    for target, of in results.items():
        merged_verdicts = [verdict for tests in of.values() for verdict, _ in tests.values()]
        print(f"{target + ', all together':26}{counted(merged_verdicts):>18}")
    bad = 0
    for suite, tests in results[first].items():
        for test, (verdict, why) in tests.items():
            name = f"{suite}.{test}"
            if verdict == "skipped" and name in MAY_SKIP:
                print(f"{name} is skipped: {MAY_SKIP[name]}")
            elif verdict == "passed" and why:
                print(f"{name} counts as passed; its one failed assertion, {why}")
            elif verdict != "passed":
                print(f"{verdict}: {name}: {why[:300]}")
                bad += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
