"""The slice views and the 3-D view: how they are arranged, what they show, and how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import vtk
from trame.widgets import html
from trame.widgets import vuetify3 as v3
from trame_server import Server
from trame_slicer.app.logic import connect_slice_view_slider_to_state
from trame_slicer.app.ui import Slider
from trame_slicer.app.ui.view_gutter import create_vertical_view_gutter_ui
from trame_slicer.core import LayoutManager, SlicerApp, VolumeWindowLevel
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, SliceView, ViewLayoutDefinition

from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.slice_views import index_in_view, shows_axis, slice_offsets
from SSLSegmentLib.wording import slice_title
from SSLSegmentWeb.section_tools import hint, marks

FPS = 30.0
QUALITY = 60
"""Of the JPEG images while something moves; a sharper one follows."""
EVENT_S = 0.03
"""Between two moves of the mouse that the browser tells: as often as there are pictures."""
LARGE, SMALL = "2", "1"
LAYOUT_OF_VIEW = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
"""Where each is the large one."""


class Views:
    """One large slice view beside two small ones and the 3-D view, or other arrangements of these four.

    Args:
        server: trame's.
        app: its view manager makes the views.

    Attributes:
        layouts: manages which views are shown; its grid is put into the page.
    """

    def __init__(self, server: Server, app: SlicerApp) -> None:
        _draw_in_one_thread()
        self._server = server
        self._app = app
        self._volume: Any = None
        self._shown_in_3d = False
        register_rca_factories(
            app.view_manager,
            server,
            slice_view_ui_f=self._build_slice_view,
            target_fps=FPS,
            blur_fps=FPS,  # a slice that was jumped to is to be seen as soon as one that was scrolled to
            interactive_quality=QUALITY,
            rca_event_throttle_s=EVENT_S,
        )
        self.layouts = LayoutManager(app.scene, app.view_manager, server)
        self.layouts.register_layout_dict(_layouts())
        for view in app.view_manager.get_views():
            # Without a graphics card each sample takes as long as a picture: six times the time for a slice.
            view.render_window().SetMultiSamples(0)
            view.renderer().SetUseFXAA(not isinstance(view, SliceView))
        state = server.state
        state.layout_ids = self.layouts.get_layout_ids()
        state.window_limits, state.window_range = [0, 1], [0, 1]
        state.change("layout_id")(self._on_layout)
        state.change("window_range")(self._on_window)
        self._choose_layout(state.layout_ids[0])

    def show(self, volume: Any) -> None:
        """Show a volume in the slice views, along its own axes; the view of its slices becomes the large one."""
        self._volume, self._shown_in_3d = volume, False
        self._app.display_manager.show_volume_in_slice_background(volume)
        self._app.display_manager.show_volume_in_slice_foreground(None)
        axis = volume_geometry(volume).default_axis()
        self._app.display_manager.reset_views()
        for view in self._app.view_manager.get_slice_views():
            self._show_in_3d(view, view.is_visible_in_3d())
        large = [
            view for view in self._app.view_manager.get_slice_views() if shows_axis(self._node(view), volume, axis)
        ]
        if large:
            self._choose_layout(LAYOUT_OF_VIEW[large[0].get_singleton_tag()])
        state = self._server.state
        state.window_limits = list(VolumeWindowLevel.get_volume_scalar_range(volume))
        state.window_range = list(VolumeWindowLevel.get_volume_display_range(volume))

    def follow(self, prediction: Any) -> None:
        """Turn the 3-D view to surfaces once there are some to see."""
        shown = prediction is not None and bool(prediction.GetDisplayNode().GetVisibility3D())
        if shown and not self._shown_in_3d:
            for view in self._app.view_manager.get_threed_views():
                view.reset_view()
        self._shown_in_3d = shown

    def _build_slice_view(self, server: Server, view_id: str, view: SliceView) -> None:
        create_vertical_view_gutter_ui(server, view_id, view, self._build_in_3d_button)
        with html.Div(classes="slice-slider-gutter ssl-slider"):
            Slider(connect_slice_view_slider_to_state(server, view), classes="slice-slider", theme="dark")
        name = f"{view_id}_position"
        server.state[name] = ""
        html.Div(f"{{{{ {name} }}}}", classes="ssl-position")

        def tell(_: SliceView) -> None:
            server.state[name] = self._position(view)

        view.modified.connect(tell)

    def _build_in_3d_button(self, _server: Server, view_id: str, view: SliceView) -> None:
        def toggle() -> None:
            self._show_in_3d(view, not view.is_visible_in_3d())

        with v3.VBtn(size="medium", variant="text", click=toggle, raw_attrs=marks(f"in-3d-{view_id}", "Show in 3-D")):
            v3.VIcon("mdi-video-3d", size="medium", color="white")
            hint("Show this slice in the 3-D view", literal=True)

    def _show_in_3d(self, view: SliceView, shown: bool) -> None:
        """A slice has a model for the 3-D view, which makes every other view draw itself anew with each slice."""
        logic = self._app.app_logic.GetSliceLogic(self._node(view))
        if shown and logic.GetSliceModelNode() is None:
            logic.CreateSliceModel()
        view.set_visible_in_3d(shown)
        if not shown and logic.GetSliceModelNode() is not None:
            logic.DeleteSliceModel()

    def _position(self, view: SliceView) -> str:
        """Which slice of the volume a view shows, in the words of the list of slices."""
        if self._volume is None:
            return ""
        for axis, n in enumerate(volume_geometry(self._volume).shape):
            index = index_in_view(self._node(view), self._volume, axis)
            if index is not None and 0 <= index < n:
                (offset,) = slice_offsets(self._volume, axis, [index])
                return f"{slice_title(index)} of {n}  ·  {offset}"
        return ""

    def _node(self, view: SliceView) -> Any:
        return self._app.scene.GetNodeByID(view.get_view_node_id())

    def _choose_layout(self, name: str) -> None:
        self._server.state.layout_id = name
        self._on_layout(name)

    def _on_layout(self, layout_id: str, **_: Any) -> None:
        if self.layouts.has_layout(layout_id):
            self.layouts.set_layout(layout_id)

    def _on_window(self, window_range: Sequence[float], **_: Any) -> None:
        if self._volume is not None:
            VolumeWindowLevel.set_volume_node_display_min_max_range(self._volume, *window_range)


def _draw_in_one_thread() -> None:
    """Threads that wait for each other at every picture wait for a training, too: twice the time while one goes on."""
    vtk.vtkMultiThreader.SetGlobalMaximumNumberOfThreads(1)
    vtk.vtkSMPTools.Initialize(1)


def _layouts() -> dict[str, Layout]:
    """By name: that of the large slice view, or what there is to see."""
    slices = {
        "Axial": ViewLayoutDefinition.axial_view(),
        "Coronal": ViewLayoutDefinition.coronal_view(),
        "Sagittal": ViewLayoutDefinition.sagittal_view(),
    }
    threed = ViewLayoutDefinition.threed_view()
    found = {}
    for name, view in slices.items():
        others = [other for other in slices.values() if other is not view]
        column = Layout(LayoutDirection.Vertical, [*others, threed])
        found[name] = Layout(LayoutDirection.Horizontal, [view, column], flex_sizes=[LARGE, SMALL])
    rows = [slices["Axial"], threed], [slices["Coronal"], slices["Sagittal"]]
    four = Layout(LayoutDirection.Vertical, [Layout(LayoutDirection.Horizontal, list(row)) for row in rows])
    return found | {"Four views": four, "3D": Layout(LayoutDirection.Vertical, [threed])}
