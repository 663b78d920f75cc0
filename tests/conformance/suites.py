#!/usr/bin/env python3
"""Runs suites of iscsi-test-cu and counts honestly: a skipped test is not a passed one.

    suites.py URL FOLDER [SUITE...]

The tool calls a test that printed [SKIPPED] "passed", and goes on for ever when the target drops
the connection; so its text is read here and each run has a limit. Exits 0 if nothing failed and
nothing was skipped but the tests named below.
"""

import fnmatch
import pathlib
import re
import subprocess
import sys

SUITES = ["Read*", "Write*", "Inquiry", "TestUnitReady", "ModeSense6", "Unmap", "iSCSIcmdsn",
          "iSCSIResiduals", "iSCSITMF"]

# Tests that one writable disk cannot be asked for, each with the reason.
MAY_SKIP = {
    "ReadOnly.ReadOnlySBC": "wants a write-protected unit; every other suite wants to write",
}

# Tests of which one assertion is about the tool itself: if it is the only one that failed and the
# log holds these words, the test has passed.
TOOL_FAULTS = {
    "iSCSITMF.LUNResetSimpleAsync": (
        "CU_ASSERT_EQUAL(reconnect_succeeded,1)", "LU RESET completed",
        "looks at the variable that the answer's callback sets, before it waits for the answer"),
}

# Suites whose tests disturb each other: the first one ends the session that the next would use.
ONE_BY_ONE = {"iSCSITMF"}
SECONDS_PER_RUN = 90
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


def run(url, folder, name):
    """The tool's output for one suite or test; what it printed so far when it hangs."""
    # Unbuffered, or a killed client takes its last words with it; in an empty folder, because a
    # file of the test's name would be taken for a list of tests.
    empty = folder / "empty"
    empty.mkdir(exist_ok=True)
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        subprocess.run(["timeout", "-k", "2", str(SECONDS_PER_RUN), "stdbuf", "-o0",
                        "iscsi-test-cu", "-d", "-V", "-t", f"ALL.{name}", url],
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


def run_suite(url, folder, suite, tests):
    if suite in ONE_BY_ONE:
        found = {}
        for test in tests:
            found.update(verdicts(suite, run(url, folder, f"{suite}.{test}")))
    else:
        found = verdicts(suite, run(url, folder, suite))
    return {test: found.get(test, ("failed", "it was not reached")) for test in tests}


def main():
    url, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    patterns = sys.argv[3:] or SUITES
    suites = {suite: tests for suite, tests in listed_tests().items()
              if any(fnmatch.fnmatchcase(suite, pattern) for pattern in patterns)}
    if not suites:
        sys.exit("iscsi-test-cu lists no such suite")
    totals, bad = {"passed": 0, "failed": 0, "skipped": 0}, []
    print(f"{'suite':24} passed failed skipped")
    for suite, tests in suites.items():
        results = run_suite(url, folder, suite, tests)
        counts = {verdict: sum(v == verdict for v, _ in results.values()) for verdict in totals}
        print(f"{suite:24} {counts['passed']:6} {counts['failed']:6} {counts['skipped']:7}",
              flush=True)
        totals = {verdict: totals[verdict] + counts[verdict] for verdict in totals}
        for test, (verdict, why) in results.items():
            name = f"{suite}.{test}"
            if verdict == "skipped" and name in MAY_SKIP:
                print(f"    {name} is skipped: {MAY_SKIP[name]}")
            elif verdict == "passed" and why:
                print(f"    {name} counts as passed; its one failed assertion {why}")
            elif verdict != "passed":
                bad.append(f"{verdict}: {name}: {why[:300]}")
    print(f"{'in all':24} {totals['passed']:6} {totals['failed']:6} {totals['skipped']:7}")
    print("\n".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
