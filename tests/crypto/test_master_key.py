"""The master key file: who may read it, and what it may hold."""

import os
import pickle
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from aldaba.crypto import hashing
from aldaba.crypto.master_key import MasterKeyError, create_master_key, load_master_key

RANDOM = "8f1d0c5e3ab94f7726d1f0938ce45ba7c1e2694d7b08fa35d6ee1290ab43587c"


def written(path: Path, content: str, mode: int = 0o600) -> Path:
    """Write a key file as an operator might have."""
    path.write_text(content)
    path.chmod(mode)
    return path


def why_refused(path: Path) -> str:
    """Give the reason for which a key file is refused."""
    with pytest.raises(MasterKeyError) as caught:
        load_master_key(path)
    return str(caught.value)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the place of a key file that does not exist yet."""
    return tmp_path / "master.key"


# --- making one ------------------------------------------------------------------------------------------------------


def test_a_created_key_is_the_one_that_is_loaded(path: Path) -> None:
    assert create_master_key(path).derive("pepper") == load_master_key(path).derive("pepper")


def test_a_created_file_is_for_its_owner_only_whatever_the_umask(path: Path) -> None:
    umask = os.umask(0)
    try:
        create_master_key(path)
    finally:
        os.umask(umask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_every_created_key_is_another(tmp_path: Path) -> None:
    keys = {create_master_key(tmp_path / f"{n}.key").derive("pepper") for n in range(10)}

    assert len(keys) == 10


def test_an_existing_file_is_never_overwritten(path: Path) -> None:
    written(path, RANDOM)

    with pytest.raises(MasterKeyError, match=r"master\.key exists already: keep it"):
        create_master_key(path)
    assert RANDOM == path.read_text()


def test_a_link_is_not_followed_to_a_new_file(path: Path) -> None:
    path.symlink_to(path.with_name("elsewhere"))

    with pytest.raises(MasterKeyError, match="exists already"):
        create_master_key(path)
    assert not path.with_name("elsewhere").exists()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "master.key"

    with pytest.raises(MasterKeyError, match=r"missing/master\.key cannot be written: No such file or directory"):
        create_master_key(path)


@pytest.fixture
def _full_disk() -> Iterator[None]:
    """Let no file grow, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("_full_disk")
def test_k2_a_full_disk_leaves_no_half_key_behind(path: Path) -> None:
    with pytest.raises(MasterKeyError, match="cannot be written: File too large"):
        create_master_key(path)
    assert not path.exists()


# --- reading one -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [RANDOM, RANDOM + "\n", RANDOM.upper() + "\r\n", f"  {RANDOM}  \n"])
def test_64_hexadecimal_digits_are_the_key(path: Path, content: str) -> None:
    expected = hashing.derive(bytes.fromhex(RANDOM), "pepper")

    assert expected == load_master_key(written(path, content)).derive("pepper")


@pytest.mark.parametrize("mode", [0o400, 0o600])
def test_a_file_of_its_owner_is_read(path: Path, mode: int) -> None:
    load_master_key(written(path, RANDOM, mode))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o620, 0o602, 0o610, 0o601, 0o666, 0o777])
def test_j5_a_file_that_others_can_use_is_refused(path: Path, mode: int) -> None:
    assert f"{path} has mode {mode:04o} and can be used by others: run chmod 600 {path}" == why_refused(
        written(path, RANDOM, mode)
    )


def test_j5_the_mode_that_counts_is_that_of_the_file_behind_a_link(path: Path) -> None:
    path.symlink_to(written(path.with_name("open.key"), RANDOM, 0o644))

    assert "has mode 0644" in why_refused(path)


def test_a_missing_file_is_named_with_what_to_do(path: Path) -> None:
    assert why_refused(path).startswith(f"{path} cannot be read: No such file or directory; name the file in")


def test_a_directory_is_refused(path: Path) -> None:
    path.mkdir(mode=0o700)

    assert "cannot be read: Is a directory" in why_refused(path)


def test_a_pipe_is_refused_and_not_waited_for(path: Path) -> None:
    os.mkfifo(path, 0o600)

    assert f"{path} is not a regular file: put the master key in a file with mode 0600" == why_refused(path)


@pytest.mark.parametrize(
    "content", ["s3cret", "s3cret" * 20, RANDOM + "x", "0x" + RANDOM, RANDOM[:-1], "é" * 64, RANDOM.replace("8", "\0")]
)
def test_b14_what_is_not_hexadecimal_is_refused_and_not_quoted(path: Path, content: str) -> None:
    with pytest.raises(MasterKeyError) as caught:
        load_master_key(written(path, content))

    assert f"{path} holds no master key: it is 64 hexadecimal digits" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("size", [0, 1, 16, 31, 33, 64, 5000])
def test_b14_a_key_of_another_length_is_refused(path: Path, size: int) -> None:
    content = (bytes.fromhex(RANDOM) * 200)[:size].hex()

    assert f"holds {min(size, 2048)} bytes instead of 32" in why_refused(written(path, content))


@pytest.mark.parametrize(
    "key",
    [
        pytest.param(bytes(32), id="zeros"),
        pytest.param(b"\xff" * 32, id="ones"),
        pytest.param(bytes(range(32)), id="counted up"),
        pytest.param(bytes(range(255, 223, -1)), id="counted down"),
        pytest.param(bytes(range(0, 224, 7)), id="in steps"),
        pytest.param(bytes.fromhex("deadbeef") * 8, id="deadbeef"),
        pytest.param(bytes.fromhex("0123456789abcdef") * 4, id="0 to f"),
        pytest.param(b"correct horse battery staple! 12", id="a sentence"),
        pytest.param(b"Zx9!kQ2#mW7$pL4%vT8&nR3*bY6(cD1)", id="a typed password"),
        pytest.param(
            bytes(b"\x00\x05\x1c\x26\x68\x7f\xc9\xd7"[byte % 8] for byte in bytes.fromhex(RANDOM)), id="eight values"
        ),
        pytest.param(bytes.fromhex(RANDOM)[:15] + bytes(17), id="half of one"),
        pytest.param(bytes.fromhex(RANDOM)[:16] * 2, id="half of one, twice"),
    ],
)
def test_b14_a_key_that_was_not_drawn_is_refused(path: Path, key: bytes) -> None:
    reason = why_refused(written(path, key.hex()))

    assert "holds a master key that was not drawn at random" in reason
    assert key.hex() not in reason


# --- it does not show itself -----------------------------------------------------------------------------------------


def test_a_master_key_does_not_show_itself(path: Path) -> None:
    key = create_master_key(path)

    assert ("MasterKey(…)", "MasterKey(…)") == (repr(key), str(key))
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(key)
