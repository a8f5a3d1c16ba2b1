import json


def test_problems_are_counted_and_the_exit_code_says_so(cli, tmp_path):
    good = cli("doctor", "--mirror", tmp_path / "mirror")
    assert good.code == 0, good
    assert f"ok  mirror {tmp_path}/mirror: written, read back and deleted a small file in" in good.stdout
    assert good.stderr.strip() == "No problems. (-- : not there, not needed)"
    (tmp_path / "file").write_text("x")
    bad = cli("doctor", "--mirror", tmp_path / "file" / "x", "--json")
    assert bad.code == 1, bad
    checks = json.loads(bad.stdout)
    assert [check["name"] for check in checks if check["state"] == "problem"] == [f"mirror {tmp_path}/file/x"]
    assert bad.stderr.strip() == "1 problem."
