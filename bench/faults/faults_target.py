"""One run of one system: faults_target.py SYSTEM SCENE. Writes $FAULTS_OUT/result.json; the kills are faults.py's.

A driver is a generator: it is given phases (lists of items; between two of them it waits at the gate) and yields
(item, result) or (item, exception). An exception that it raises ended the whole job."""

import json
import os
import sys
import time

import faults_work as work

OUT = os.environ["FAULTS_OUT"]


def gate():
    """Until faults.py has done what it has to do while all are idle."""
    with open(OUT + "/idle", "w", encoding="utf-8"):
        pass
    while not os.path.exists(OUT + "/go"):
        time.sleep(0.02)


def gated(phases):
    for n, items in enumerate(phases):
        if n:
            gate()
        yield items


def each(phases, submit, result):
    """Futures: every item by itself."""
    for items in gated(phases):
        futures = []
        for item in items:
            try:
                futures.append((item, submit(item)))
            except Exception as e: # what a pool that broke raises
                futures.append((item, e))
        for item, future in futures:
            try:
                yield item, future if isinstance(future, Exception) else result(future)
            except Exception as e:
                yield item, e


def mp_map(phases):
    import multiprocessing
    with multiprocessing.Pool(2) as pool:
        for items in gated(phases):
            yield from zip(items, pool.map(work.task, items))


def mp_imap(phases):
    import multiprocessing
    with multiprocessing.Pool(2) as pool:
        for items in gated(phases):
            yield from zip(items, pool.imap(work.task, items))


def futures(phases):
    from concurrent.futures import ProcessPoolExecutor
    with ProcessPoolExecutor(2) as pool:
        yield from each(phases, lambda item: pool.submit(work.task, item), lambda f: f.result())


def loky(phases):
    from loky import get_reusable_executor
    for items in gated(phases): # asked for again in each phase, as it is meant
        pool = get_reusable_executor(max_workers=2, timeout=30)
        yield from each([items], lambda item: pool.submit(work.task, item), lambda f: f.result())


def joblib(phases):
    from joblib import Parallel, delayed
    for items in gated(phases):
        yield from zip(items, Parallel(n_jobs=2)(delayed(work.task)(item) for item in items))


def billiard(phases):
    import billiard
    pool = billiard.Pool(2)
    yield from each(phases, lambda item: pool.apply_async(work.task, (item,)), lambda f: f.get())
    pool.close()
    pool.join()


def pebble(phases):
    from pebble import ProcessPool
    with ProcessPool(max_workers=2) as pool:
        yield from each(phases, lambda item: pool.schedule(work.task, args=[item]), lambda f: f.result())


def mpire(phases):
    from mpire import WorkerPool
    with WorkerPool(n_jobs=2, keep_alive=True) as pool:
        for items in gated(phases):
            yield from zip(items, pool.map(work.task, [(item,) for item in items], concatenate_numpy_output=False))


def dask(phases):
    from dask.distributed import Client, LocalCluster

    def one(future):
        result = future.result()
        future.release()
        return result
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        yield from each(phases, lambda item: client.submit(work.task, item, pure=False), one)


GENERAL = {f.__name__: f for f in (mp_map, mp_imap, futures, loky, joblib, billiard, pebble, mpire, dask)}


def texts_of(phases):
    for items in gated(phases):
        yield from (text for _, text in items)


def fastembed(phases):
    from fastembed import TextEmbedding
    from fastembed.common.model_description import ModelSource, PoolingType
    TextEmbedding.add_custom_model(model="x/y", pooling=PoolingType.MEAN, normalization=True,
                                   sources=ModelSource(hf="x/y"), dim=384, model_file="hidden.onnx")
    model = TextEmbedding("x/y", specific_model_path=os.environ["FAULTS_ONNX"], lazy_load=True)
    yield from zip((i for phase in phases for i in phase), model.embed(texts_of(phases), batch_size=8, parallel=2))


def vecmill_py(phases):
    from vecmill import Embedder
    model = Embedder(os.environ["FAULTS_MODEL"])
    yield from zip((i for phase in phases for i in phase), model.stream(texts_of(phases), workers=2, on_error="skip"))


def items_of(system, scene):
    if system in GENERAL:
        size, n = (8 << 20, 40) if scene == "S2" else (204800, 200)
        return [(i, size, {"S9": "kill", "S10": "exit0"}.get(scene, "") if i == 77 else "") for i in range(n)]
    with open(os.environ["FAULTS_TEXTS"], encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    if scene in ("S9", "S10") and system == "vecmill_py":
        texts[77] += " zzpoisonzz"
    if scene in ("S9", "S10") and system == "fastembed":
        texts[77] = work.Poison(texts[77])
        texts[77].what = {"S9": "kill", "S10": "exit0"}[scene]
    return list(enumerate(texts))


def main():
    import numpy as np
    os.environ["FAULTS_PARENT"] = str(os.getpid()) # here: workers that are spawned import this file
    system, scene = sys.argv[1:3]
    items = items_of(system, scene)
    phases = [items[:len(items) // 2], items[len(items) // 2:]] if scene == "S3" else [items]
    drive = GENERAL.get(system) or {"fastembed": fastembed, "vecmill_py": vecmill_py}[system]
    found = {"n": len(items), "state": "running", "ok": 0, "failed": 0, "wrong": 0, "error": None}
    rows = {}

    def save():
        with open(OUT + "/result.tmp", "w", encoding="utf-8") as file:
            json.dump(found, file)
        os.replace(OUT + "/result.tmp", OUT + "/result.json")
    try:
        for item, result in drive(phases):
            if isinstance(result, Exception):
                found["failed"] += 1
            elif system in GENERAL:
                found["ok" if work.is_right(item, result) else "wrong"] += 1
            else:
                failed = not np.any(result)
                rows[item[0]] = result
                found["failed" if failed else "ok"] += 1
            save()
        found["state"] = "done"
    except Exception as e:
        found["state"], found["error"] = "error", f"{type(e).__module__}.{type(e).__name__}: {e}"[:400]
    if rows:
        nothing = np.zeros_like(next(iter(rows.values())))
        np.save(OUT + "/rows.npy", np.stack([rows.get(i, nothing) for i in range(len(items))]))
    save()


if __name__ == "__main__":
    main()
