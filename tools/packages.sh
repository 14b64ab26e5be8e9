# shellcheck shell=bash disable=SC2034 # the lists are their readers'
# packages.sh: Debian packages for `try` and `check`, sourced by both.
#
#     need_packages NAME...
#     want_packages NAME...
#
# need_packages installs the packages that are missing, as root or through sudo; says which, and does
# nothing when all are there. Where it cannot install it says what to install and fails. On a system without dpkg
# it names the packages and leaves it to the build to find what it needs. want_packages does the same for
# what a test can be skipped without: where it fails it says so, and that is all.

packages_build='gcc libc6-dev make meson ninja-build pkg-config python3 python3-pip ca-certificates
  libutf8proc-dev libstemmer-dev libxxhash-dev libcurl4-openssl-dev libssl-dev libzip-dev
  zlib1g-dev libcmocka-dev'
# ccache: a clone, a rebuild and the wheel compile only what nobody compiled before. Debian's; 5 GB at most in its folder.
packages_check='clang libclang-rt-14-dev clang-format clang-tidy ccache python3-venv python3-dev binutils
  strace openssl shellcheck'
# A kernel for tests/uml, which Debian has for x86 alone; a cluster for tests/examples. Of the long form.
packages_kernel='user-mode-linux'
packages_cluster='slurmctld slurmd slurm-client munge'
# Spark wants Java 17 or later.
packages_engines='default-jre-headless'

as_root()
{
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        echo "This needs root, and there is no sudo. As root, run: $*" >&2
        return 1
    fi
}

apt_update()
{
    echo "== reading the package index (apt-get update)"
    as_root apt-get -qq update
}

need_packages()
{
    local name missing=()
    if ! command -v dpkg-query >/dev/null; then
        echo "== this is no Debian; the build wants what Debian calls: $*"
        return 0
    fi
    for name in "$@"; do
        dpkg-query -W -f '${db:Status-Status}\n' "$name" 2>/dev/null | grep -qx installed ||
            missing+=("$name")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    echo "== installing Debian packages: ${missing[*]}"
    apt_update &&
        as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
            "${missing[@]}" >/dev/null
}

want_packages()
{
    case "$(uname -m)" in
        x86_64) need_packages "$@" || echo "== goes on without: $*" ;;
    esac
    return 0
}
