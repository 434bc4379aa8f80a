"""The slice views and the 3-D view: how they are arranged, and what they show."""

from __future__ import annotations

from typing import Any

import vtk
from trame_server import Server
from trame_slicer.core import LayoutManager, SlicerApp
from trame_slicer.rca_view import register_rca_factories
from trame_slicer.views import Layout, LayoutDirection, SliceView, ViewLayoutDefinition

from SSLSegmentLib.mrml import volume_geometry
from SSLSegmentLib.slice_views import shows_axis

FPS, ASIDE_FPS = 30.0, 10.0
"""Of the view that the mouse is in, and of the others, which all change a little with every slice."""
QUALITY = 60
"""Of the JPEG images while something moves; a sharper one follows."""
LARGE, SMALL = 2, 1


class Views:
    """One large slice view beside two small ones and the 3-D view, or one view alone.

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
        register_rca_factories(
            app.view_manager,
            server,
            target_fps=FPS,
            blur_fps=ASIDE_FPS,
            interactive_quality=QUALITY,
        )
        self.layouts = LayoutManager(app.scene, app.view_manager, server)
        self.layouts.register_layout_dict(_layouts())
        for view in app.view_manager.get_views():
            # Without a graphics card each sample takes as long as a picture: six times the time for a slice.
            view.render_window().SetMultiSamples(0)
            view.renderer().SetUseFXAA(not isinstance(view, SliceView))
        server.state.layout_ids = self.layouts.get_layout_ids()
        server.state.layout_id = "Axial"
        server.state.change("layout_id")(self._on_layout_chosen)
        self.layouts.set_layout("Axial")
        self._shown_in_3d = False

    def show(self, volume: Any) -> None:
        """Show a volume in the slice views, along its own axes; the view of its slices becomes the large one."""
        self._app.display_manager.show_volume_in_slice_background(volume)
        self._app.display_manager.show_volume_in_slice_foreground(None)
        self._app.display_manager.reset_views()
        self._shown_in_3d = False
        if volume is None:
            return
        axis = volume_geometry(volume).default_axis()
        for view in self._app.view_manager.get_slice_views():
            node = self._app.scene.GetNodeByID(view.get_view_node_id())
            if shows_axis(node, volume, axis):
                self._server.state.layout_id = view.get_orientation()
                self._on_layout_chosen(view.get_orientation())
                break

    def follow(self, prediction: Any) -> None:
        """Turn the 3-D views to the first surfaces that there are to see."""
        shown = prediction is not None and prediction.GetDisplayNode().GetVisibility3D()
        if shown and not self._shown_in_3d:
            for view in self._app.view_manager.get_threed_views():
                view.reset_view()
        self._shown_in_3d = bool(shown)

    def _on_layout_chosen(self, layout_id: str, **_: Any) -> None:
        if self.layouts.has_layout(layout_id):
            self.layouts.set_layout(layout_id)


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
        found[name] = Layout(LayoutDirection.Horizontal, [view, column], flex_sizes=[str(LARGE), str(SMALL)])
    rows = [slices["Axial"], threed], [slices["Coronal"], slices["Sagittal"]]
    four = Layout(LayoutDirection.Vertical, [Layout(LayoutDirection.Horizontal, row) for row in rows])
    return found | {"Four views": four, "3D": Layout(LayoutDirection.Vertical, [threed])}
