#!/usr/bin/env python3
"""Writes a state dict as torch.save does (PyTorch >= 1.6), without torch: by Python's own pickle and zipfile.

    write(path, {name: (dtype, shape, raw)})      dtype 'F32', 'F16', 'BF16' or 'I64'

The pickle names torch's globals, which stand-ins of the same names provide while it is written. The state dict is an
OrderedDict with _metadata, of tensors with a storage each. A name that ends in ".bias" is a Parameter, as in a dict that was
not made by state_dict(). Entries are stored and their bytes aligned to 64, as torch does. The same arguments give the
same bytes. Standard library only."""
import collections
import io
import os
import pickle
import struct
import sys
import types
import zipfile

STORAGE = {'F32': ('FloatStorage', 4), 'F16': ('HalfStorage', 2), 'BF16': ('BFloat16Storage', 2),
           'I64': ('LongStorage', 8)}


class Reduced:
    def __init__(self, function, arguments):
        self.by = function, arguments

    def __reduce__(self):
        return self.by


Storage = collections.namedtuple('Storage', 'kind key n')


class Pickler(pickle.Pickler):
    def persistent_id(self, obj):
        return ('storage', obj.kind, obj.key, 'cpu', obj.n) if isinstance(obj, Storage) else None


def stand_ins():
    """The modules torch and torch._utils, of nothing but names."""
    torch, utils = types.ModuleType('torch'), types.ModuleType('torch._utils')
    for name in ('_rebuild_tensor_v2', '_rebuild_parameter'):
        setattr(utils, name, types.FunctionType((lambda: None).__code__, {'__name__': 'torch._utils'}, name))
        getattr(utils, name).__qualname__ = name
    for kind, _ in STORAGE.values():
        setattr(torch, kind, type(kind, (), {'__module__': 'torch'}))
    torch._utils = utils
    return {'torch': torch, 'torch._utils': utils}


def strides(shape):
    steps = [1]
    for n in reversed(shape[1:]):
        steps.insert(0, steps[0] * n)
    return tuple(steps[:len(shape)])


def state_pickle(tensors, torch, utils):
    state = collections.OrderedDict()
    for i, (name, (dtype, shape, raw)) in enumerate(tensors.items()):
        kind, width = STORAGE[dtype]
        storage = Storage(getattr(torch, kind), str(i), len(raw) // width)
        value = Reduced(utils._rebuild_tensor_v2,
                        (storage, 0, tuple(shape), strides(shape), False, collections.OrderedDict()))
        if name.endswith('.bias'):
            value = Reduced(utils._rebuild_parameter, (value, True, collections.OrderedDict()))
        state[name] = value
    state._metadata = collections.OrderedDict([('', {'version': 1}), ('embeddings', {'version': 1})])
    out = io.BytesIO()
    Pickler(out, protocol=2).dump(state)
    return out.getvalue()


def put(archive, name, data):
    """Stored; an extra field of the local header alone moves the bytes to a multiple of 64."""
    info = zipfile.ZipInfo(name)
    info.extra = b''
    at = archive.fp.tell() + 30 + len(name)
    info.extra = struct.pack('<2sH', b'FB', (-at - 4) % 64).ljust(4 + (-at - 4) % 64, b'Z')
    archive.writestr(info, data)
    info.extra = b''


def write(path, tensors):
    modules = stand_ins()
    before = {name: sys.modules.get(name) for name in modules}
    sys.modules.update(modules)
    try:
        text = state_pickle(tensors, *modules.values())
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
    folder = os.path.splitext(os.path.basename(path))[0]
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_STORED) as archive:
        put(archive, folder + '/data.pkl', text)
        put(archive, folder + '/byteorder', b'little')
        for i, (_, _, raw) in enumerate(tensors.values()):
            put(archive, '%s/data/%d' % (folder, i), raw)
        put(archive, folder + '/version', b'3\n')
