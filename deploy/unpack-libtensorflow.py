"""Takes out of a wheel the two libraries and the headers that the addon includes: unpack-libtensorflow.py WHEEL FOLDER"""
import os, shutil, sys, zipfile
wheel, deps = sys.argv[1:]
headers = tuple('tensorflow/include/' + part for part in ('absl/', 'tensorflow/c/', 'tensorflow/core/platform/', 'tsl/', 'xla/tsl/'))
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith(headers) and name.endswith(('.h', '.inc')):
            target = os.path.join(deps, name.removeprefix('tensorflow/'))
        elif name in ('tensorflow/libtensorflow_cc.so.2', 'tensorflow/libtensorflow_framework.so.2'):
            target = os.path.join(deps, 'lib', os.path.basename(name))
        else:
            continue
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with archive.open(name) as source, open(target, 'wb') as sink:
            shutil.copyfileobj(source, sink, 1 << 20)
