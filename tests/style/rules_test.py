#!/usr/bin/env python3
"""Each rule of tools/layers and tools/style, shown to fail on a tree that breaks it."""

import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

TOP = pathlib.Path(__file__).resolve().parents[2]
PAGE = "# what it is\n"


class Tree(unittest.TestCase):
    """A source tree in a temporary folder and the verdict of a tool on it."""

    tool = None

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.root = pathlib.Path(self.folder.name)

    def write(self, name, text):
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run_tool(self):
        return subprocess.run([sys.executable, TOP / "tools" / self.tool, self.root],
                              capture_output=True, text=True)

    def accepts(self):
        result = self.run_tool()
        self.assertEqual(result.returncode, 0, result.stdout + result.stderr)

    def refuses(self, place, sentence):
        result = self.run_tool()
        self.assertEqual(result.returncode, 1, result.stdout + result.stderr)
        self.assertIn(f"{place}: {sentence}", result.stdout)
        self.assertEqual(len(result.stdout.splitlines()), 2, result.stdout)


class Layers(Tree):
    tool = "layers"

    def setUp(self):
        super().setUp()
        self.write("cow-store/base/bytes.h", "#pragma once\n#include <vector>\n")
        self.write("target/iscsi/pdu.h", '#pragma once\n#include "cow-store/base/bytes.h"\n')

    def test_accepts_what_the_table_allows(self):
        self.write("target/ring/ring.cc", "#include <liburing.h>\n#include <unistd.h>\n")
        self.write("target/control/server.cc", "#include <boost/asio.hpp>\n")
        self.write("tests/unit/x/x_test.cc", '#include <thread>\n#include "target/iscsi/pdu.h"\n')
        self.accepts()

    def test_refuses_an_empty_tree(self):
        shutil.rmtree(self.root / "cow-store")
        shutil.rmtree(self.root / "target")
        self.assertNotEqual(self.run_tool().returncode, 0)

    def test_cow_store_never_includes_target(self):
        self.write("cow-store/store/a.cc", '#include "target/iscsi/pdu.h"\n')
        self.refuses("cow-store/store/a.cc:1",
                     'cow-store/store may not include target/iscsi ("target/iscsi/pdu.h")')

    def test_target_never_includes_boot_helper(self):
        self.write("boot-helper/script.h", "#pragma once\n")
        self.write("target/control/a.cc", '\n#include "boot-helper/script.h"\n')
        self.refuses("target/control/a.cc:2",
                     'target/control may not include boot-helper ("boot-helper/script.h")')

    def test_scsi_never_includes_iscsi(self):
        self.write("target/scsi/a.cc", '#include "target/iscsi/pdu.h"\n')
        self.refuses("target/scsi/a.cc:1",
                     'target/scsi may not include target/iscsi ("target/iscsi/pdu.h")')

    def test_liburing_only_in_the_ring(self):
        self.write("target/net/a.cc", "#include <liburing.h>\n")
        self.refuses("target/net/a.cc:1", "target/net may not include <liburing.h> (liburing)")

    def test_asio_only_in_control_and_the_boot_server(self):
        self.write("boot-helper/server.cc", "#include <boost/asio.hpp>\n")
        self.write("boot-helper/script.cc", "#include <boost/asio.hpp>\n")
        self.refuses("boot-helper/script.cc:1",
                     "boot-helper may not include <boost/asio.hpp> (boost)")

    def test_pure_modules_include_no_system_header(self):
        for module in ("base", "format", "map", "journal", "identity"):
            with self.subTest(module):
                self.write(f"cow-store/{module}/a.cc", "#include <sys/socket.h>\n")
                self.refuses(f"cow-store/{module}/a.cc:1",
                             f"cow-store/{module} may not include <sys/socket.h> (system)")
                (self.root / f"cow-store/{module}/a.cc").unlink()

    def test_pure_modules_include_no_clock_thread_random_file_or_log(self):
        for header in ("chrono", "thread", "mutex", "random", "fstream", "filesystem", "cstdio",
                       "iostream"):
            with self.subTest(header):
                self.write("target/scsi/a.cc", f"#include <{header}>\n")
                self.refuses("target/scsi/a.cc:1",
                             f"target/scsi is pure and may not include <{header}>")
        self.write("target/scsi/a.cc", "#include <spdlog/spdlog.h>\n")
        self.refuses("target/scsi/a.cc:1",
                     "target/scsi may not include <spdlog/spdlog.h> (spdlog)")

    def test_an_exception_holds_for_its_file_only(self):
        self.write("cow-store/base/check.cc", "#include <cstdio>\n")
        self.accepts()
        self.write("cow-store/base/bytes.cc", "#include <cstdio>\n")
        self.refuses("cow-store/base/bytes.cc:1",
                     "cow-store/base is pure and may not include <cstdio>")

    def test_includes_are_written_from_the_top(self):
        self.write("target/iscsi/a.cc", '#include "pdu.h"\n')
        self.refuses("target/iscsi/a.cc:1", '"pdu.h" is not a path from the top of the tree')

    def test_a_new_module_needs_a_row(self):
        self.write("target/novelty/a.cc", "#include <vector>\n")
        self.refuses("target/novelty/a.cc:1", "no row in tools/layers covers this file")


class Style(Tree):
    tool = "style"

    def setUp(self):
        super().setUp()
        for folder in ("target", "target/scsi"):
            self.write(f"{folder}/README.md", PAGE)
        self.write("target/scsi/sense.h", "#pragma once\n\nint sense();\n")

    def test_accepts_a_clean_tree(self):
        self.write("target/scsi/sense.cc", "int sense() { return 1; }  // TODO(#12): more\n")
        self.accepts()

    def test_line_length(self):
        self.write("target/scsi/a.cc", "//" + "x" * 98 + "\n//" + "x" * 99 + "\n")
        self.refuses("target/scsi/a.cc:2", "101 columns, at most 100")

    def test_blanks_at_the_end(self):
        self.write("target/scsi/a.cc", "int a; \n")
        self.refuses("target/scsi/a.cc:1", "blanks at the end of the line")

    def test_tabs(self):
        self.write("target/scsi/a.cc", "int\ta;\n")
        self.refuses("target/scsi/a.cc:1", "a tab")

    def test_last_line_end(self):
        self.write("target/scsi/a.cc", "int a;")
        self.refuses("target/scsi/a.cc:1", "no line end at the end of the file")

    def test_todo_needs_a_number(self):
        self.write("target/scsi/a.cc", "int a;  // TODO: later\n")
        self.refuses("target/scsi/a.cc:1", "a TODO needs the number of an issue: TODO(#12)")

    def test_scripts_are_checked_too(self):
        self.write("tools/README.md", PAGE)
        self.write("tools/thing", "#!/usr/bin/env bash\ntrue \n")
        self.refuses("tools/thing:2", "blanks at the end of the line")

    def test_words_that_say_nothing_in_file_names(self):
        self.write("target/scsi/sense_util.cc", "int a;\n")
        self.refuses("target/scsi/sense_util.cc:1",
                     "'util' in a file name says nothing; name what it does")

    def test_the_folder_boot_helper_may_be_called_so(self):
        self.write("boot-helper/README.md", PAGE)
        self.write("boot-helper/script.cc", "int a;\n")
        self.accepts()

    def test_pragma_once(self):
        self.write("target/scsi/a.h", "int a();\n")
        self.refuses("target/scsi/a.h:1", "a header begins with #pragma once")

    def test_using_namespace_in_a_header(self):
        self.write("target/scsi/a.h", "#pragma once\nusing namespace std;\n")
        self.refuses("target/scsi/a.h:2", "using namespace in a header")

    def test_libraries_do_not_print(self):
        for statement in ("std::cout << 1", 'printf("x")', 'std::fprintf(stderr, "x")'):
            with self.subTest(statement):
                self.write("target/scsi/a.cc", f"void f() {{ {statement}; }}\n")
                self.refuses("target/scsi/a.cc:1",
                             "a library prints nothing; return it or log it")
        self.write("target/scsi/a.cc", 'void f() { std::snprintf(b, 1, "std::cout"); }\n')
        self.accepts()

    def test_long_files(self):
        self.write("target/scsi/a.cc", "int a();\n" * 700)
        self.accepts()
        self.write("target/scsi/a.cc", "int a();\n" * 701)
        self.refuses("target/scsi/a.cc:1", "701 lines, at most 700")

    def refuses_a_function(self, head, tail, name):
        body = "    f();\n"
        self.write("target/scsi/a.cc", f"int x;\n\n{head}\n{body * 68}{tail}\n")
        self.accepts()
        self.write("target/scsi/a.cc", f"int x;\n\n{head}\n{body * 69}{tail}\n")
        self.refuses("target/scsi/a.cc:3", f"{name} has 71 lines, at most 70")

    def test_long_functions(self):
        self.refuses_a_function("void grow(int a = 3) {", "}", "grow")

    def test_long_functions_with_braces_in_strings_and_comments(self):
        self.refuses_a_function('void grow() {  // }}}', "    g(\"}\", '}'); }", "grow")

    def test_long_constructors_with_braced_members(self):
        self.refuses_a_function("A::A(int x) : x_{x}, y_(1) {", "}", "A::A")

    def test_long_operators(self):
        self.refuses_a_function("bool operator==(const A& a, const A& b) {", "}", "operator==")

    def test_long_members_of_a_class_in_a_namespace(self):
        body = "    f();\n"
        self.write("target/scsi/a.cc", "namespace n {\nclass A final : public B<int> {\n"
                   f"    int v_ = 1;\n    int f() const override {{\n{body * 69}    }}\n}};\n}}\n")
        self.refuses("target/scsi/a.cc:4", "f has 71 lines, at most 70")

    def test_a_long_table_is_no_function(self):
        rows = "    Row{f(1), {2, 3}},\n"
        self.write("target/scsi/a.cc", "constexpr std::array rows = {\n" + rows * 90 + "};\n")
        self.accepts()

    def test_each_folder_has_a_page(self):
        self.write("target/iscsi/pdu.h", "#pragma once\n")
        self.refuses("target/iscsi/README.md:1", "missing")
        self.write("target/iscsi/README.md", "line\n" * 71)
        self.refuses("target/iscsi/README.md:1", "more than a page (70 lines)")

    @unittest.skipUnless(shutil.which("clang-format-14"), "clang-format-14 is not installed")
    def test_clang_format(self):
        self.write(".clang-format", (TOP / ".clang-format").read_text())
        self.accepts()
        self.write("target/scsi/a.cc", "int a;\nint  b;\n")
        self.refuses("target/scsi/a.cc:2",
                     "not as clang-format writes it: clang-format-14 -i target/scsi/a.cc")


if __name__ == "__main__":
    unittest.main()
