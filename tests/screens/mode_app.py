"""The lab in one of its modes, which it is led to as a person is: Home first, then the mode."""

from screens.app import LabApp


class ModeApp(LabApp):
    """Opens on Home, as the lab does, and shows `FIRST_MODE` before a test begins."""

    FIRST_MODE = "home"

    async def on_mount(self) -> None:
        if self.current_mode != self.FIRST_MODE:
            await self.action_mode(self.FIRST_MODE)
