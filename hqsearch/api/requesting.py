"""What a study asks of the layers below: requests, made from its definition or its objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hqsearch.api.arguments import one_of, whole
from hqsearch.api.describing import Description, plain, require, require_settings
from hqsearch.api.recorded import RecordedStudy

if TYPE_CHECKING:
    from hqsearch.api.answers import Run
    from hqsearch.search.events import Listener
    from hqsearch.study.opening import Request

Device = Literal["auto", "cpu", "cuda"]
ExecutorKind = Literal["auto", "in-process", "ray"]


class RequestingStudy(RecordedStudy):
    """A study that can be asked to act; :class:`hqsearch.api.study.Study` says what it does."""

    _settings: dict[str, Any]
    _recordings: Path | None
    _described: Description | None

    def _launch(
        self, action: Any, request: Request, listener: Listener | None, progress: bool
    ) -> Run:
        from hqsearch.api.answers import Run
        from hqsearch.api.following import following

        with following(listener, progress) as notes:
            finished = action(request, notes)
        return Run(finished, notes.said, self._front(finished.run.budgets))

    def _request(
        self,
        settings: Mapping[str, Any] | None,
        device: Device,
        workers: int | None,
        executor: ExecutorKind,
        ray_address: str | None,
    ) -> Request:
        """What is asked of the layers below, of a study as it is defined now."""
        require_settings(settings)
        request = self._place(device, workers, executor, ray_address)
        changes = {key: plain(value) for key, value in (settings or {}).items()}
        if self._described is None:
            own = {key: plain(value) for key, value in self._settings.items()}
            return replace(request, overrides={**own, **changes})
        definition, objects = self._described.made(self._studies_dir, changes)
        return replace(request, definition=definition, objects=objects)

    def _recorded(
        self, device: Device, workers: int | None, executor: ExecutorKind, ray_address: str | None
    ) -> Request:
        """The same, of a study as its log says it is."""
        request = self._place(device, workers, executor, ray_address)
        if self._described is None:
            return request
        from hqsearch.study.asked import recorded_definition
        from hqsearch.study.given import with_objects
        from hqsearch.study.running import read_study

        _, objects = self._described.made(self._studies_dir, {})
        attributes, _, _ = read_study(request)
        recorded = recorded_definition(attributes, request)
        return replace(
            request, definition=with_objects(recorded, objects, self.folder), objects=objects
        )

    def _place(
        self, device: Device, workers: int | None, executor: ExecutorKind, ray_address: str | None
    ) -> Request:
        from hqsearch.show.dashboard.content import published
        from hqsearch.study.opening import Request

        one_of(device, "device")
        one_of(executor, "executor")
        require(ray_address, str, "ray_address", "an address")
        return Request(
            study=self._asked,
            strategy="",
            data=self._recordings,
            device=device,
            workers=whole(workers, "workers", None),
            executor=executor,
            ray_address=ray_address,
            storage=self._storage,
            studies_dir=self._studies_dir,
            publisher=published,
        )
