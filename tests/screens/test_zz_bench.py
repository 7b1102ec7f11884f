import time, cProfile, pstats, sys
import pytest
from tests.screens.train.train_app import TrainApp, screen_of, watch
from screens.app import LabApp
from pathlib import Path
pytestmark = pytest.mark.usefixtures("home", "fixed_machine")

@pytest.mark.parametrize("kind", ["home","train","train-text","data","tokens","learn","inspect","watch"])
async def test_cost(kind, make_run, until):
    make_run("tale", step=200)
    mode=kind.split("-")[0]
    cls = type("App",(LabApp,),{"DEFAULT_MODE": "train" if mode=="watch" else mode})
    out=[]
    for i in range(4):
        a=time.process_time()
        app = cls(preload=False, **({"text":str(Path("fable.txt").absolute())} if kind in("train-text","watch") else {}))
        async with app.run_test(size=(80,24)) as pilot:
            b=time.process_time()
            await pilot.pause()
            c=time.process_time()
            if mode=="watch":
                await watch(pilot, until, "tale")
            d=time.process_time()
        e=time.process_time()
        out.append(f"start {b-a:.3f} pause {c-b:.3f} watch {d-c:.3f} end {e-d:.3f} = {e-a:.3f}")
    sys.__stderr__.write(kind+"\n  "+"\n  ".join(out)+"\n")
